"""metrics/report.html: all that is known of a run, on one page that needs nothing else.

gather.py   what the stages wrote              charts.py            all charts, by matplotlib
crops.py    pictures with maps                 html.py, templates/  the look, by Jinja2
section.py  one dataset's part of the page     page.py              the page around the parts
build.py    writes both                        summary.py           the same for a terminal
"""
