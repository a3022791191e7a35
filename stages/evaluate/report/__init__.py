"""metrics/report.html: all that is known of a run, on one page that needs nothing else.

gather.py   what the stages wrote        svg.py     charts
crops.py    pictures with maps           page.py    the page
"""
