/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-page.h"

#include <math.h>
#include <stdarg.h>

/* What the parts of the page share: style, script, sections, tables. */

#define LIGHT                                                                                     \
  "--page:#fcfcfb;--ink:#1b1b1a;--soft:#5c5b57;--line:#dddcd8;--axis:#8a8984;--panel:#f3f2ef;"    \
  "--link:#1c5cab;--c0:#2a78d6;--c1:#eb6834;--c2:#1baf7a;--c3:#eda100;--c4:#e87ba4;--c5:#008300;" \
  "--c6:#4a3aa7;--c7:#e34948;--h0:#e8f1fd;--h1:#cde2fb;--h2:#b7d3f6;--h3:#9ec5f4;--h4:#86b6ef;"   \
  "--h5:#6da7ec;--h6:#5598e7;--h7:#3987e5;--h8:#2a78d6;--hi:#0b0b0b;--hx:#0b0b0b"
#define DARK                                                                                      \
  "--page:#1a1a19;--ink:#f0efec;--soft:#b5b4ad;--line:#3a3a37;--axis:#8a8984;--panel:#262624;"    \
  "--link:#86b6ef;--c0:#3987e5;--c1:#d95926;--c2:#199e70;--c3:#c98500;--c4:#d55181;--c5:#2f9e2f;" \
  "--c6:#9085e9;--c7:#e66767;--h0:#0d2544;--h1:#0d366b;--h2:#104281;--h3:#184f95;--h4:#1c5cab;"   \
  "--h5:#256abf;--h6:#3987e5;--h7:#6da7ec;--h8:#9ec5f4;--hi:#ffffff;--hx:#0b0b0b"

const char ablate_page_style[] =
    ":root{color-scheme:light dark;" LIGHT "}\n"
    "@media screen and (prefers-color-scheme:dark){:root{" DARK "}}\n"
    "body{margin:0 auto;max-width:1180px;padding:1.5rem;background:var(--page);color:var(--ink);"
    "font:15px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}\n"
    "h3{font-size:1rem;margin:1.2rem 0 .2rem}\n"
    "p{margin:.4rem 0}.soft{color:var(--soft)}a{color:var(--link)}\n"
    "nav a{margin-right:1rem}\n"
    "pre,.command{font:12px/1.45 ui-monospace,monospace;background:var(--panel)}\n"
    "pre{padding:.7rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    ".verdict li{font-size:1.05rem;margin:.25rem 0}\n"
    ".wide{overflow:auto;max-height:36rem;border:1px solid var(--line)}\n"
    "table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.2rem .55rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}\n"
    "th{background:var(--panel);position:sticky;top:0}\n"
    "th.t,td.t{text-align:left}tr:target{outline:2px solid var(--c0);outline-offset:-2px}\n"
    "button,input{font:inherit;color:inherit;background:var(--panel);border:1px solid var(--line);"
    "border-radius:3px}\n"
    "th button{border:0;padding:0;font-weight:600;text-align:inherit;cursor:pointer}\n"
    "th[aria-sort=ascending] button::after{content:' \\2191'}\n"
    "th[aria-sort=descending] button::after{content:' \\2193'}\n"
    ":focus-visible{outline:2px solid var(--c0);outline-offset:1px}\n"
    ".command{display:inline-block;max-width:26rem;overflow:hidden;text-overflow:ellipsis;"
    "white-space:nowrap;vertical-align:middle;margin-right:.4rem;padding:0 .3rem}\n"
    ".command:hover,.command:focus{white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "svg{display:block;width:100%;max-width:900px;height:auto;font:12px system-ui,sans-serif}\n"
    "svg text{fill:var(--ink)}.grid{stroke:var(--line)}.axis{stroke:var(--axis)}\n"
    ".front{stroke:var(--ink);fill:none;stroke-width:1.5}.bound{stroke:var(--axis);stroke-dasharray:5 4}\n"
    ".original{stroke:var(--axis);stroke-dasharray:1 3;stroke-width:2}\n"
    ".dim{opacity:.6}svg a:focus path,svg a:hover path{opacity:1;stroke:var(--ink);stroke-width:2}\n"
    ".c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}\n"
    ".c4{fill:var(--c4)}.c5{fill:var(--c5)}.c6{fill:var(--c6)}.c7{fill:var(--c7)}\n"
    ".h0,.h1,.h2,.h3,.h4,.h5{color:var(--hi)}.h6,.h7,.h8{color:var(--hx)}\n"
    ".h0{background:var(--h0)}.h1{background:var(--h1)}.h2{background:var(--h2)}\n"
    ".h3{background:var(--h3)}.h4{background:var(--h4)}.h5{background:var(--h5)}\n"
    ".h6{background:var(--h6)}.h7{background:var(--h7)}.h8{background:var(--h8)}\n"
    "@media print{body{max-width:none;padding:0}.wide{overflow:visible;max-height:none;border:0}\n"
    "nav,.tool{display:none}th{position:static}h2,h3,figure{break-after:avoid}svg,tr{break-inside:avoid}\n"
    ".command{max-width:none;white-space:pre-wrap;overflow-wrap:anywhere;font-size:9px}\n"
    "table{font-size:10px}*{print-color-adjust:exact}}\n";

/* Without the characters that XML would have escaped. */
const char ablate_page_script[] =
    "\"use strict\";\n"
    "function valueOf(row, index) {\n"
    "  var cell = row.cells[index], value = cell.getAttribute('data-v');\n"
    "  return value === null ? cell.textContent : value === '' ? null : Number(value);\n"
    "}\n"
    "function sortBy(head) {\n"
    "  var table = head.closest('table'), body = table.tBodies[0], index = head.cellIndex;\n"
    "  var sign = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;\n"
    "  var rows = Array.from(body.rows);\n"
    "  rows.sort(function (a, b) {\n"
    "    var x = valueOf(a, index), y = valueOf(b, index);\n"
    "    if (x === y) return 0;\n"
    "    if (x === null) return 1;\n"
    "    if (y === null) return -1;\n"
    "    return x > y ? sign : -sign;\n"
    "  });\n"
    "  table.querySelectorAll('th').forEach(function (th) { th.removeAttribute('aria-sort'); });\n"
    "  head.setAttribute('aria-sort', sign === 1 ? 'ascending' : 'descending');\n"
    "  rows.forEach(function (row) { body.appendChild(row); });\n"
    "}\n"
    "function copyFrom(button) {\n"
    "  var code = button.previousElementSibling, said = function () { button.textContent = 'Copied'; };\n"
    "  var select = function () {\n"
    "    var range = document.createRange();\n"
    "    range.selectNodeContents(code);\n"
    "    window.getSelection().removeAllRanges();\n"
    "    window.getSelection().addRange(range);\n"
    "    if (document.execCommand('copy')) said();\n"
    "  };\n"
    "  if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(said, select);\n"
    "  else select();\n"
    "}\n"
    "function filterRows(input) {\n"
    "  var words = input.value.toLowerCase();\n"
    "  Array.from(document.getElementById(input.getAttribute('data-for')).rows).forEach(function (row) {\n"
    "    row.hidden = !row.textContent.toLowerCase().includes(words);\n"
    "  });\n"
    "}\n"
    "document.addEventListener('click', function (event) {\n"
    "  var button = event.target.closest('button');\n"
    "  if (!button) return;\n"
    "  if (button.parentNode.tagName.toLowerCase() === 'th') sortBy(button.parentNode);\n"
    "  else if (button.classList.contains('copy')) copyFrom(button);\n"
    "});\n"
    "document.addEventListener('input', function (event) {\n"
    "  if (event.target.hasAttribute('data-for')) filterRows(event.target);\n"
    "});\n"
    "document.documentElement.setAttribute('data-ready', 'true');\n";

void
ablate_page_open (GString *out, const char *id, const char *title)
{
  g_string_append_printf (out, "<section id=\"%s\">\n<h2>%s</h2>\n", id, title);
}

void
ablate_page_close (GString *out)
{
  g_string_append (out, "</section>\n");
}

void
ablate_page_head (GString *out, const char *text)
{
  g_string_append_printf (out, "<th scope=\"col\"%s><button type=\"button\">",
                          *text == ' ' ? " class=\"t\"" : "");
  ablate_put_text (out, *text == ' ' ? text + 1 : text);
  g_string_append (out, "</button></th>");
}

void
ablate_page_open_table (GString *out, const char *caption, ...)
{
  va_list heads;

  g_string_append (out, "<p class=\"soft\">");
  ablate_put_text (out, caption);
  g_string_append (out, "</p>\n<div class=\"wide\" tabindex=\"0\">\n<table aria-label=\"");
  ablate_put_text (out, caption);
  g_string_append (out, "\">\n<thead><tr>");
  va_start (heads, caption);
  for (const char *head; (head = va_arg (heads, const char *)) != NULL;)
    ablate_page_head (out, head);
  va_end (heads);
}

void
ablate_page_open_rows (GString *out, const char *id)
{
  g_string_append (out, "</tr></thead>\n<tbody");
  if (id)
    g_string_append_printf (out, " id=\"%s\"", id);
  g_string_append (out, ">\n");
}

void
ablate_page_close_table (GString *out)
{
  g_string_append (out, "</tbody></table>\n</div>\n");
}

void
ablate_page_cell (GString *out, const char *text)
{
  g_string_append (out, "<td class=\"t\">");
  ablate_put_text (out, text);
  g_string_append (out, "</td>");
}

static void
put_sort_key (GString *out, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (out, " data-v=\"%s\">",
                          isfinite (value) ? g_ascii_formatd (text, sizeof text, "%.9g", value)
                                           : "");
}

void
ablate_page_number (GString *out, double value, int digits)
{
  g_string_append (out, "<td");
  put_sort_key (out, value);
  ablate_put_number (out, value, digits);
  g_string_append (out, "</td>");
}

void
ablate_page_shaded (GString *out, double value, int digits, double share, const char *title)
{
  if (isnan (value)) {
    g_string_append (out, "<td data-v=\"\"></td>");
    return;
  }
  g_string_append_printf (
      out, "<td class=\"h%d\"",
      isfinite (share) ? (int) (CLAMP (share, 0, 1) * (ABLATE_N_SHADES - 1) + 0.5) : 0);
  if (title) {
    g_string_append (out, " title=\"");
    ablate_put_text (out, title);
    g_string_append_c (out, '"');
  }
  put_sort_key (out, value);
  ablate_put_number (out, value, digits);
  g_string_append (out, "</td>");
}
