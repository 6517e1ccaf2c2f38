"""How the report looks."""

CSS = """
:root { --ink: #1c2530; --muted: #5b6774; --line: #e1e6ec; --paper: #ffffff; --back: #f5f7f9;
        --blue: #3b6fb6; --teal: #1f8a70; --orange: #e0903a; --red: #b5383d; --pale: #f3d9c0; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--back); color: var(--ink); line-height: 1.5; font-size: 16px;
       font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", Arial,
       sans-serif;
       font-variant-numeric: tabular-nums; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
header h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em;
       overflow-wrap: anywhere; }
header .lead { font-size: 19px; margin: 12px 0 0; max-width: 62em; }
.muted, figcaption, .note { color: var(--muted); }
nav { margin: 20px 0 0; display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 15px; }
nav a { color: var(--blue); text-decoration: none; }
nav a:hover { text-decoration: underline; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(225px, 1fr)); gap: 16px;
       margin: 28px 0 8px; }
.card { background: var(--paper); border: 1px solid var(--line);
       border-top: 4px solid var(--accent, var(--blue));
        border-radius: 8px; padding: 14px 18px 16px; }
.card h3 { margin: 0; font-size: 14px; font-weight: 600; color: var(--muted); overflow-wrap: anywhere; }
.card .value { font-size: 32px; font-weight: 700; line-height: 1.25; letter-spacing: -.01em; }
.card .value small { font-size: 17px; font-weight: 600; color: var(--muted); letter-spacing: 0; }
.card .interval { font-size: 14.5px; font-weight: 600; }
.card .interval span, .keep { white-space: nowrap; }
.card p { margin: 6px 0 0; font-size: 14.5px; line-height: 1.42; color: var(--muted); }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
       padding: 22px 26px 26px;
          margin-top: 22px; }
h2 { margin: 0 0 4px; font-size: 21px; line-height: 1.3; }
h3.sub { margin: 24px 0 8px; font-size: 16px; }
section > p { margin: 4px 0 14px; max-width: 70em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 15px; }
th, td { padding: 7px 12px 7px 0; text-align: left; vertical-align: top;
       border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; font-size: 14px; vertical-align: bottom; }
th.number, td.number { text-align: right; padding-right: 0; padding-left: 16px; white-space: nowrap; }
th.number + th:not(.number), td.number + td:not(.number) { padding-left: 28px; }
td.wide { overflow-wrap: anywhere; }
tr.best td { font-weight: 700; }
tbody tr:last-child td { border-bottom: none; }
table.facts td:first-child { color: var(--muted); width: 15em; }
caption { caption-side: bottom; text-align: left; color: var(--muted); font-size: 14px; padding-top: 8px; }
.bars { display: grid; grid-template-columns: minmax(90px, max-content) minmax(140px, 1fr) max-content;
        gap: 7px 14px; align-items: center; font-size: 15px; margin: 10px 0 4px; }
.track { position: relative; height: 22px; background: #eef1f4; border-radius: 4px; overflow: visible; }
.fill, .before { position: absolute; left: 0; top: 0; bottom: 0; border-radius: 4px; }
.before { background: var(--pale); }
.whisker { position: absolute; top: 5px; bottom: 5px; border: solid var(--ink); border-width: 0 2px; }
.whisker::before { content: ""; position: absolute; left: 0; right: 0; top: 5px;
       border-top: 2px solid var(--ink); }
.amount { white-space: nowrap; }
.amount .muted { font-size: 14px; }
.chip { display: inline-block; padding: 1px 9px; border-radius: 10px; font-size: 13.5px;
       font-weight: 600; white-space: nowrap; }
.chip.good { background: #def1ea; color: #12604d; }
.chip.bad { background: #f8e1e1; color: #8d2529; }
.chip.warn { background: #fbecd8; color: #80500f; }
.chip.plain { background: #e9edf1; color: #44505c; }
.statement { border-left: 4px solid var(--teal); background: #f3f8f6; padding: 10px 16px;
       border-radius: 0 6px 6px 0;
             margin: 16px 0 4px; }
.statement.open { border-color: var(--orange); background: #fdf7ef; }
figure { margin: 20px 0 0; }
figure img { display: block; width: 100%; height: auto; border: 1px solid var(--line);
       border-radius: 6px; background: #fff; }
figcaption { font-size: 15px; margin-top: 8px; max-width: 66em; }
figcaption b { color: var(--ink); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 4px 44px; }
ul.notes { margin: 8px 0 0; padding-left: 20px; }
ul.notes li { margin: 4px 0; }
footer { color: var(--muted); font-size: 14px; margin-top: 26px; }
@media (max-width: 640px) {
  main { padding: 20px 12px 40px; } section { padding: 18px 16px; }
  .bars { grid-template-columns: 1fr max-content; } .bars .track { grid-column: 1 / -1; grid-row: auto;
       order: 0; }
  .bars .name { grid-column: 1; } }
@media print {
  @page { margin: 14mm; }
  body { background: #fff; font-size: 11pt; } main { max-width: none; padding: 0; } nav { display: none; }
  section { border: none; padding: 0; margin-top: 18pt; } .card, figure, tr, .bars { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""
