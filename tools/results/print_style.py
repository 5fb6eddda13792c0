"""How pages look on paper: two sides of A4, the second for what the model gets wrong."""

from __future__ import annotations

PRINT = """
@page{size:A4;margin:11mm 12mm}
@media print{
:root{color-scheme:light;--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--grid:#ddd;
  --heat:0 114 178;--heat-most:.62;--s0:#0072b2;--s1:#c44e00;--s2:#007a5a;--s3:#a8518a;
  --s4:#8f6a00;--s5:#2b87bd; --good:#00694d;--bad:#a83d00;--code:#f4f4f4}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
body{font-size:9.5pt;line-height:1.35}
main{max-width:none;padding:0}
h1{font-size:19pt;margin-bottom:8pt!important}
h2{font-size:12pt;margin-bottom:5pt}
h3{font-size:9pt}
.huge{font-size:28pt}
.over,.note,figcaption,.row,.answer,.legend,table,.bars{font-size:7.5pt!important}
.split{gap:6pt 24pt;grid-template-columns:5fr 8fr}
.says p+p{margin-top:3pt}
.facts{margin-top:8pt;padding-top:6pt;gap:4pt 20pt}
section{margin-top:9pt;padding-top:7pt}
.grid{grid-template-columns:1fr 1fr;gap:6pt}
.pair{grid-template-columns:1fr 1fr;gap:6pt 12pt}
figure{padding:4pt 6pt;border-radius:4pt;break-inside:avoid}
figure .bar{min-height:0}
.grid .chart{max-height:38mm}
.pair .chart{max-height:38mm}
.pair:has(.wide) .chart{max-height:32mm}
.pair figure{max-width:none}
details,nav,#next,.switch,footer,.more,.confused,#data .scroll~.scroll,#data .scroll~div,
  #data .lines~.scroll,.grid figure:nth-child(n+7){display:none}
#mistakes{break-before:page;border-top:0;margin-top:0;padding-top:0}
.pair>.wide{grid-column:auto}
.scroll{overflow:hidden}
th,td{padding:2pt 4pt}
thead th,.matrix thead th:first-child{font-size:7pt}
.numbers tbody th bdi,.matrix th bdi{max-width:15ch}
.matrix td{padding:5pt 8pt;min-width:40pt}
.matrix.many{border-spacing:1px}
.matrix.many td{padding:2pt 1pt;min-width:14pt;font-size:6pt}
.matrix.many th{padding:1pt 2pt 1pt 0;font-size:6.5pt}
.matrix.many thead th:not(:first-child) bdi{max-height:7em}
.numbers tr:nth-child(n+13),.both .numbers tr:nth-child(n+9){display:none}
.wrong{margin-top:3pt}
.wrong>li{grid-template-columns:1fr 50mm;padding:3pt 0;gap:0 10pt;break-inside:avoid}
.wrong>li:nth-child(n+5),#mistakes:has(.both)+section .wrong>li:nth-child(n+4),
  #mistakes:has(.wide)+section .wrong>li:nth-child(n+3){display:none}
.wrong .text p,.answer,pre code,.pair:has(.wide) figcaption{display:-webkit-box;
  -webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden}
.wrong .text p{font-size:8pt}
.wrong .text p+p:not(.row),.wrong .text p:has(+p:not(.row)){-webkit-line-clamp:1}
.wrong .text{max-width:none}
.wrong .text .row{font-size:7pt!important}
.bars{margin-top:1pt}
.bars li:nth-child(n+3){display:none}
.bars i{height:4pt}
.lines{margin-bottom:2pt;font-size:8pt}
.lines li{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden}
pre,pre code{font-size:7pt}
pre{padding:4pt 6pt;margin:0}
code{font-size:inherit}
#data,#settings{break-inside:avoid}
}
"""
