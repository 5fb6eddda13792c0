"""How pages look: by light and by dark, on a phone and on paper.

The colours of lines are those of Okabe and Ito ("Color Universal Design", 2008), made darker or lighter
where they would be hard to read, which people of all kinds of colour vision tell apart; beside that each
line has its own dashes and marks.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--page:#fbfaf7;--card:#fff;--ink:#1b1d21;--soft:#5a5f68;
  --line:#dedbd3; --grid:#e9e6df;--heat:0 114 178;--heat-most:.62;--s0:#0072b2;--s1:#c44e00;
  --s2:#007a5a;--s3:#a8518a;--s4:#8f6a00; --s5:#2b87bd;--good:#00694d;--bad:#a83d00;--code:#f1eee7}
@media (prefers-color-scheme:dark){
:root{--page:#14161a;--card:#1b1e23;--ink:#e9e8e4;--soft:#a9adb5;--line:#343840; --grid:#2a2e35;
  --heat:86 180 233;--heat-most:.45;--s0:#56b4e9;--s1:#f0925a;--s2:#2fbf95;--s3:#dd93bb;
  --s4:#f0e442; --s5:#e69f00;--good:#3fcf9f;--bad:#f0925a;--code:#24282f}
}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,
  "Segoe UI",Roboto, "Noto Sans","Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
main{max-width:1120px;margin:0 auto;padding:28px 24px 56px}
p{margin:0}
h1,h2,h3{margin:0;line-height:1.15;text-wrap:balance}
h1{font-size:clamp(1.75rem,1.2rem + 2.4vw,2.75rem);font-weight:680;letter-spacing:-.022em}
h2{font-size:1.3rem;font-weight:650;letter-spacing:-.012em;margin-bottom:14px}
h3{font-size:.95rem;font-weight:620}
section{margin-top:44px;padding-top:22px;border-top:1px solid var(--line)}
.over{color:var(--soft);font-size:.875rem;margin-bottom:10px}
.verdict h1{margin-bottom:22px}
.split{display:grid;grid-template-columns:minmax(280px,5fr) 7fr;gap:20px 48px;align-items:start}
.split>.says:only-child{grid-column:1/-1}
.score>p:first-child{display:flex;align-items:baseline;gap:12px;flex-wrap:wrap}
.huge{font-size:3.5rem;line-height:1;font-weight:640;letter-spacing:-.035em;
  font-variant-numeric:tabular-nums}
.better .huge{color:var(--good)}
.worse .huge{color:var(--bad)}
.says p+p{margin-top:8px}
.verdict>.says{margin-bottom:18px;max-width:80ch}
.says p{max-width:64ch}
.state{border-left:4px solid var(--bad);padding:8px 14px;background:var(--card);margin-bottom:20px}
.note{color:var(--soft);font-size:.875rem}
.strip{display:block;width:100%;max-width:360px;height:auto;margin:8px 0 2px;font-size:11px}
.strip .track{stroke:var(--line);stroke-width:2;stroke-linecap:round}
.strip .band{fill:var(--s0);opacity:.38}
.strip .base{stroke:var(--ink);stroke-width:2}
.strip .point{fill:var(--s0);stroke:var(--page);stroke-width:1.5}
.facts{display:flex;flex-wrap:wrap;gap:14px 36px;margin:24px 0 0;padding-top:16px;
  border-top:1px solid var(--line)}
.facts dt{color:var(--soft);font-size:.8125rem}
.facts dd{margin:0;font-variant-numeric:tabular-nums;font-weight:560}
nav{margin-top:20px;font-size:.875rem;display:flex;flex-wrap:wrap;gap:4px 18px}
a{color:var(--s0);text-underline-offset:3px}
a:focus-visible,summary:focus-visible,input:focus-visible~.bar .switch,
  [tabindex]:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr));gap:20px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));
  gap:20px 32px;align-items:start}
.pair>*,.grid>*{min-width:0}
.pair>.wide,.pair>.both{grid-column:1/-1}
.grid+.note{margin-top:12px}
.pair h3{margin:0 0 8px}
.scroll+.confused{margin-top:18px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;
  padding:12px 14px 10px; position:relative;min-width:0}
figure .bar{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:center;
  gap:2px 14px;min-height:26px;
  margin-bottom:2px}
figure h3{margin:0!important}
figcaption{color:var(--soft);font-size:.8125rem;line-height:1.4;margin-top:4px}
.pair figure{max-width:540px}
figure{display:flex;flex-direction:column}
figure>.chart,figure>.lin,figure>.log{margin-top:auto}
.chart{display:block;width:100%;height:auto;font-size:11.5px;overflow:visible}
.pair .chart{font-size:9px}
svg text{fill:var(--soft);font-variant-numeric:tabular-nums}
.at-end{text-anchor:end}
.middle{text-anchor:middle}

.chart .grid{stroke:var(--grid);fill:none}
.line{fill:none;stroke-width:1.9;stroke-linejoin:round}
.faint{fill:none;stroke-width:1;opacity:.28;stroke-linejoin:round}
.mark{stroke:var(--card);stroke-width:1}
.error{fill:none;stroke-width:1.5}
.ideal{fill:none;stroke:var(--soft);stroke-dasharray:5 4;stroke-width:1.2}
.amount{stroke:var(--line);stroke-width:13;fill:none}
.dots{fill:none;stroke-linecap:round;stroke-width:3.2}
.d0{opacity:.42}
.d1{opacity:.7}
.d2{opacity:1}
.line.s0,.faint.s0,.error.s0,.dots.s0{stroke:var(--s0)}
.mark.s0{fill:var(--s0)}
.line.s1,.faint.s1,.error.s1{stroke:var(--s1)}
.mark.s1{fill:var(--s1)}
.line.s1{stroke-dasharray:7 3}
.line.s2,.faint.s2,.error.s2{stroke:var(--s2)}
.mark.s2{fill:var(--s2)}
.line.s2{stroke-dasharray:2 2.5}
.line.s3,.faint.s3,.error.s3{stroke:var(--s3)}
.mark.s3{fill:var(--s3)}
.line.s3{stroke-dasharray:9 3 2 3}
.line.s4,.faint.s4,.error.s4{stroke:var(--s4)}
.mark.s4{fill:var(--s4)}
.line.s4{stroke-dasharray:12 4}
.line.s5,.faint.s5,.error.s5{stroke:var(--s5)}
.mark.s5{fill:var(--s5)}
.line.s5{stroke-dasharray:4 2 1 2}
.alone .line{stroke-dasharray:none}
.legend{list-style:none;margin:0 auto 0 0;padding:0;display:flex;flex-wrap:wrap;gap:2px 14px;
  font-size:.8125rem; color:var(--soft)}
.legend li{display:flex;align-items:center;gap:6px}
.legend svg{flex:none}
.switched>input{position:absolute;opacity:0;pointer-events:none;top:18px;right:20px}
.switch{margin-left:auto;display:inline-flex;border:1px solid var(--line);border-radius:6px;
  overflow:hidden;font-size:.75rem;flex:none}
.switch label{padding:2px 9px;cursor:pointer;color:var(--soft)}
.to-lin:checked~.bar .for-lin,.to-log:checked~.bar .for-log{background:var(--ink);color:var(--card)}
.to-lin:checked~.log,.to-log:checked~.lin{display:none}
.readings rect{fill:transparent}
.readings path{stroke:var(--soft);opacity:0}
.readings text{text-anchor:end;opacity:0;fill:var(--ink);font-weight:600}
.readings g:hover path,.readings g:hover text{opacity:1}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.875rem;width:100%}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
  white-space:nowrap}
.scroll{position:relative}
th{font-weight:500;text-align:left}
thead th{color:var(--soft);font-size:.8125rem;vertical-align:bottom}
th,td{padding:6px 10px;border-bottom:1px solid var(--grid);vertical-align:top}
tr>:first-child{padding-left:0}
.numbers td,.numbers thead th:not(:first-child){text-align:right;font-variant-numeric:tabular-nums;
  white-space:nowrap}
.numbers tbody th bdi,.matrix th bdi{display:inline-block;max-width:22ch;overflow:hidden;
  text-overflow:ellipsis; white-space:nowrap;vertical-align:bottom}
.two td:nth-child(2){text-align:left}
.two thead th:nth-child(2){text-align:left!important}
.meter{background:linear-gradient(rgb(var(--heat)/.24) 0 0) left bottom/calc(var(--a)*100%) 3px
  no-repeat}
.matrix{width:auto;border-collapse:separate;border-spacing:2px}
.matrix td{background:rgb(var(--heat)/calc(var(--a)*var(--heat-most)));text-align:center;
  padding:14px 16px;border:0; border-radius:4px;font-variant-numeric:tabular-nums;min-width:76px}
.matrix .right{font-weight:680;outline:1.5px solid rgb(var(--heat)/.55);outline-offset:-1.5px}
.matrix th{border:0;vertical-align:middle}
.matrix thead th{text-align:center;vertical-align:bottom}
.matrix thead th:first-child{text-align:left;font-size:.75rem}
.matrix.many td{min-width:34px;padding:6px 4px;font-size:.8125rem}
.matrix.many thead th:not(:first-child) bdi{writing-mode:vertical-rl;transform:rotate(180deg);
  max-width:none; max-height:9em;text-align:left}
.matrix.many .zero{color:var(--soft)}
.pairs td{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.8125rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.8125rem}
pre{background:var(--code);padding:12px 14px;border-radius:8px;white-space:normal;margin:0 0 12px}
code,.nowrap{white-space:nowrap}pre code,td code,th code{white-space:inherit}
pre span{display:inline-block;max-width:100%}
.files td{min-width:8ch}
.numbers th{overflow-wrap:normal}
details{margin-top:12px}
summary{cursor:pointer;color:var(--s0);font-size:.9375rem;padding:4px 0;width:fit-content}
details[open]>summary{margin-bottom:6px}
.lines{margin:0 0 14px;padding:0;list-style:none}
.lines li+li{margin-top:3px}
.wrong{margin:12px 0 0;padding:0;list-style:none;counter-reset:none}
.wrong>li{display:grid;grid-template-columns:1fr minmax(250px,330px);gap:6px 32px;padding:14px 0;
  border-top:1px solid var(--grid)}
.wrong .text p+p{margin-top:4px}
.wrong .text{max-width:68ch}
.row{color:var(--soft);font-size:.8125rem;margin-top:2px}
.answer{font-size:.875rem;color:var(--soft)}
.answer b{color:var(--ink);font-weight:620}
.bars{list-style:none;margin:6px 0 0;padding:0;font-size:.8125rem;font-variant-numeric:tabular-nums}
.bars{display:grid;grid-template-columns:fit-content(17ch) 1fr 5ch;gap:2px 8px;align-items:center}
.bars li{display:contents}
.bars bdi{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.bars .gold bdi{font-weight:680;text-decoration:underline;text-underline-offset:3px}
.bars i{height:8px;border-radius:2px;
  background:linear-gradient(var(--s1) 0 0) left/calc(var(--a)*100%) 100% no-repeat var(--grid)}
.bars .gold i{background:linear-gradient(var(--s2) 0 0) left/calc(var(--a)*100%) 100% no-repeat
  var(--grid)}
.runs td,.runs th{vertical-align:middle}
.runs .strip{width:260px;margin:0}
.runs .strip text{display:none}
.runs thead th:nth-child(4){text-align:center!important}
.scroll+.note{margin-top:10px}
.scroll+.scroll,.scroll+div{margin-top:18px}
#data table{width:auto;min-width:min(100%,540px)}
.key{display:inline-block;vertical-align:middle;margin-right:8px}
.differ td{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.8125rem}
footer{margin-top:44px;color:var(--soft);font-size:.8125rem}
@media (max-width:720px){
.numbers th,.numbers td{padding:6px 5px}
.numbers tr>:first-child{padding-left:0}
.numbers tbody th bdi,.matrix th bdi{max-width:12ch}
.pair .chart{font-size:11.5px}
main{padding:20px 16px 40px}
.split,.wrong>li{grid-template-columns:minmax(0,1fr)}
.huge{font-size:3rem}
section{margin-top:32px}
.facts{gap:10px 24px}

.matrix td{padding:12px 10px;min-width:60px}
}
"""
