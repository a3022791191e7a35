"""The page's look: one column on a phone, two or three on a laptop; light or dark as the reader's system is."""

STYLE = """
:root{--paper:#fff;--ink:#1f2328;--muted:#626a73;--rule:#e2e5e9;--panel:#f6f7f9;--real:#2f6fb3;--fake:#d0571d;--good:#2c7a4b}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e8eaed;--muted:#9aa3ad;--rule:#30363d;--panel:#1d2125;
--real:#6ba7e8;--fake:#f08a55;--good:#62c08a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.7rem;line-height:1.2;margin:.4em 0 .2em}
h2{font-size:1.3rem;margin:2.4em 0 .6em;padding-bottom:.25em;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:1.6em 0 .5em}
p{max-width:68ch;margin:.5em 0}
.muted{color:var(--muted)}
.cards,.charts,.gallery{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr))}
.card,figure{background:var(--panel);border-radius:10px;padding:14px 16px;margin:0;min-width:0}
.big{font-size:2.1rem;font-weight:650;line-height:1.15}
figcaption{font-weight:600;margin-bottom:6px}
svg{width:100%;height:auto;display:block}
.rule{stroke:var(--rule);stroke-width:1}
.chance{stroke:var(--muted);stroke-width:1;stroke-dasharray:3 4}
.threshold{stroke:var(--ink);stroke-width:1;stroke-dasharray:4 3}
.tick{fill:var(--muted);font-size:11px}
.title{fill:var(--muted);font-size:11.5px}
.curve{fill:none;stroke:currentColor;stroke-width:2}
.dot{fill:currentColor}
.bar.real{fill:var(--real)}.bar.fake{fill:var(--fake)}
.real{color:var(--real)}.fake{color:var(--fake)}.ink{color:var(--ink)}.soft{color:var(--muted)}.good{color:var(--good)}
.legend{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:.82rem;margin:6px 0 0}
.key::before{content:"";display:inline-block;width:11px;height:11px;border-radius:3px;background:currentColor;margin-right:5px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{color:var(--muted);font-weight:600}
td.wrap{white-space:normal;text-align:left;min-width:16ch;overflow-wrap:anywhere}
.pictures{display:flex;flex-wrap:wrap;gap:6px}
.pictures img{width:96px;height:96px;border-radius:6px;display:block}
.pictures span{font-size:.75rem;color:var(--muted)}
.name{font-size:.82rem;overflow-wrap:anywhere}
.timeline{height:44px}
code{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.85em;overflow-wrap:anywhere}
details summary{cursor:pointer;color:var(--muted)}
"""
