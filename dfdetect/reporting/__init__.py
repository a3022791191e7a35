"""metrics/report.html: all that is known of a run, on one page that needs nothing else.

gather.py   what the stages wrote              svg.py, charts.py   charts
crops.py    pictures with maps                 parts.py, style.py  tables, videos, the look
section.py  one dataset's part of the page     page.py             the page around the parts
"""
