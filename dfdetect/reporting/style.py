"""The page's look: one column on a phone, several on a laptop; light or dark as the reader's system is;
fit to print."""

STYLE = """
:root{--paper:#fff;--panel:#f5f6f8;--ink:#1a1e23;--muted:#5a626b;--rule:#dfe3e8;--real:#245f9f;--fake:#b8450c;
--good:#1f6b41;--violet:#6b4fa0;--band:#b9c4d0;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--paper:#111417;--panel:#1a1e22;--ink:#e9ecef;--muted:#a3acb5;--rule:#31383f;
--real:#74aeea;--fake:#f3935f;--good:#69c78d;--violet:#b7a0e8;--band:#4a5561}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:64px}
@media (prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.wide{max-width:1120px;margin:0 auto;padding:0 20px}
header.wide{padding-top:40px;padding-bottom:20px}
main.wide{padding-bottom:48px}
footer{border-top:1px solid var(--rule);padding:18px 0 40px;color:var(--muted);font-size:.875rem}
.skip{position:absolute;left:-999px}
.skip:focus{left:12px;top:12px;background:var(--paper);color:var(--ink);padding:8px 12px;z-index:3}
nav{position:sticky;top:0;z-index:2;background:var(--paper);border-bottom:1px solid var(--rule)}
nav ul{display:flex;gap:4px 22px;overflow-x:auto;list-style:none;margin:0;padding:11px 0}
nav a{color:var(--muted);text-decoration:none;white-space:nowrap;font-size:.92rem;font-weight:550}
nav a:hover{color:var(--ink)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--real);outline-offset:3px;
border-radius:3px}
h1{font-size:clamp(1.6rem,4vw,2.3rem);line-height:1.15;letter-spacing:-.02em;margin:0 0 .3em;overflow-wrap:anywhere}
h2{font-size:1.45rem;letter-spacing:-.01em;margin:2.6em 0 .7em;overflow-wrap:anywhere}
h3{font-size:1.02rem;margin:2.1em 0 .6em}
p,li,dd{overflow-wrap:anywhere}
p{max-width:70ch;margin:.5em 0}
.grid>*{min-width:0}
p.lead{font-size:1.05rem}
.muted,.note{color:var(--muted)}
.note{font-size:.875rem}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fill,minmax(min(100%,310px),1fr))}
.small{grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px}
@media (min-width:900px){.small{grid-template-columns:repeat(4,1fr)}}
@media (min-width:900px){.two{grid-template-columns:1.25fr 1fr}}
.four{grid-template-columns:repeat(auto-fill,minmax(min(100%,240px),1fr))}
.card,figure{background:var(--panel);border-radius:12px;padding:16px 18px;margin:0;min-width:0}
.small figure{padding:10px 10px 6px}
figcaption{font-weight:600;font-size:.95rem;margin-bottom:8px}
.small figcaption{font-size:.85rem;margin-bottom:4px}
.card h3{margin:0;font-size:1rem;overflow-wrap:anywhere}
.big{font-size:2.9rem;font-weight:680;letter-spacing:-.03em;line-height:1.1;margin:.15em 0 0;
font-variant-numeric:tabular-nums}
.big.few{font-size:1.45rem}
.big small{display:block;font-size:.9rem;font-weight:500;letter-spacing:0;color:var(--muted);line-height:1.4}
.stats{display:flex;flex-wrap:wrap;gap:8px 26px;margin:12px 0 0}
.stats div{font-size:.82rem;color:var(--muted)}
.stats dd{margin:0;font-size:1.12rem;font-weight:620;color:var(--ink);font-variant-numeric:tabular-nums}
.stats dt{margin:0}
.tag{display:inline-block;font-size:.75rem;font-weight:600;padding:1px 8px;border-radius:99px;
border:1px solid var(--rule);
color:var(--muted);vertical-align:2px;white-space:nowrap}
.tag.wrong{color:var(--fake);border-color:currentColor}.tag.right{color:var(--good);border-color:currentColor}
.caveats{padding-left:1.2em;margin:.4em 0;max-width:76ch}
.caveats li{margin:.35em 0}
svg{width:100%;height:auto;display:block}
svg text{font-family:inherit}
.rule{stroke:var(--rule);stroke-width:1}
.track{stroke:var(--rule);stroke-width:4;stroke-linecap:round}
.band{stroke:var(--band);stroke-width:9;stroke-linecap:round}
.chance{stroke:var(--muted);stroke-width:1;stroke-dasharray:3 4}
.threshold{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:5 3}
.tick{fill:var(--muted);font-size:11px}
.title{fill:var(--muted);font-size:11.5px}
text.name{fill:currentColor;font-size:11.5px;font-weight:600;paint-order:stroke;stroke:var(--panel);stroke-width:5px;
stroke-linejoin:round}
.count{fill:var(--ink);font-size:30px;font-weight:650}
.share{fill:var(--ink);font-size:11.5px}
.cell.right{fill:var(--good)}.cell.wrong{fill:var(--fake)}
.curve{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.dot{fill:currentColor}
.spot{fill:currentColor;fill-opacity:.75}
.box{fill:currentColor;fill-opacity:.16}
.median{stroke:currentColor;stroke-width:2}
.bar.real{fill:var(--real)}.bar.fake{fill:var(--fake)}
.real{color:var(--real)}.fake{color:var(--fake)}.ink{color:var(--ink)}.soft{color:var(--muted)}
.good{color:var(--good)}
.violet{color:var(--violet)}
.gauge{max-width:380px;margin-top:10px}
.cards{grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr))}
.legend{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:.82rem;margin:8px 0 0}
.key::before{content:"";display:inline-block;width:11px;height:11px;border-radius:3px;background:currentColor;
margin-right:6px}
.scroll{overflow-x:auto;margin:.4em 0 1em}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:7px 12px 7px 0;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom}
tbody th{font-weight:500}
.between{color:var(--muted);font-size:.92em;padding-left:.35em}
.stats .between{font-weight:500;font-size:.85rem}
.below,.two .between{display:block;padding:0}
th.wrap,td.wrap{white-space:normal;text-align:left;min-width:16ch;overflow-wrap:anywhere;padding-left:12px}
.pictures{display:grid;grid-template-columns:repeat(3,1fr);gap:8px;margin:10px 0}

.four .pictures{grid-template-columns:repeat(2,1fr)}
.pictures figure{background:none;padding:0;border-radius:0}
.pictures img{width:100%;height:auto;aspect-ratio:1;border-radius:8px;display:block;background:var(--rule)}
.pictures figcaption{font-size:.75rem;font-weight:400;color:var(--muted);margin:3px 0 0}
.verdict{display:flex;flex-wrap:wrap;gap:2px 10px;align-items:baseline;justify-content:space-between}
.verdict b{font-variant-numeric:tabular-nums;font-size:1.05rem}
.file{font-size:.8rem;color:var(--muted);overflow-wrap:anywhere;line-height:1.4}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.86em;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--muted);font-size:.92rem;padding:4px 0}
summary:hover{color:var(--ink)}
@media (max-width:600px){.between{display:block;padding:0}
tbody th{white-space:normal}h2{margin-top:2.1em}.wide,header.wide,main.wide{padding-left:16px;padding-right:16px}
header.wide{padding-top:24px}}
@media print{nav,.skip{display:none}body{font-size:11pt}.card,figure{break-inside:avoid;border:1px solid var(--rule)}
h2,h3{break-after:avoid}.scroll{overflow:visible}}
"""
