#!/usr/bin/env bash
# The report of a study in a browser: Chromium, where it is installed.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
names=('no message on the console, the script runs' 'a head sorts, up and down; none comes last' 'words filter' 'commands are copied')
if [ -z "$browser" ]; then
  for name in "${names[@]}"; do skip "$name" 'no chromium'; done
  finish
  exit
fi

# Commands that work the page as hands do; what they see becomes its title.
cat >"$tmp/hands.js" <<'JS'
var seen = [], table = document.getElementById('all-runs').closest('table');
var order = function () { return Array.from(table.tBodies[0].rows).filter(function (r) { return !r.hidden; }).map(function (r) { return r.id.slice(4); }).join(''); };
var head = Array.from(table.querySelectorAll('th button')).find(function (b) { return b.textContent === 'NMSE'; });
var accuracy = Array.from(table.querySelectorAll('th button')).find(function (b) { return b.textContent === 'accuracy'; });
head.click(); head.click(); seen.push('down' + order());
head.click(); seen.push('up' + order() + head.parentNode.getAttribute('aria-sort'));
accuracy.click(); seen.push('accuracy' + order());
var search = document.querySelector('input[type=search]');
search.value = 'VPTQ'; search.dispatchEvent(new Event('input', { bubbles: true })); seen.push('filter' + order());
var code = document.querySelector('#run-1 code'), button = document.querySelector('#run-1 button.copy');
navigator.clipboard.writeText = function (text) { seen.push('copied' + (text === code.textContent)); return Promise.resolve(); };
button.click();
setTimeout(function () { seen.push(button.textContent); document.title = seen.join(';'); }, 50);
JS

look () {
  "$AFP_TEST_BUILDDIR/tests/test-ablate-html" --make "$tmp/page.html" || return 1
  sed -e "/^<\/script>/r $tmp/wrapped" "$tmp/page.html" >"$tmp/hands.html"
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$tmp/profile" --enable-logging=stderr \
    --virtual-time-budget=2000 --dump-dom "file://$tmp/hands.html" >"$tmp/dom" 2>"$tmp/console"
}
{ echo '<script>'; cat "$tmp/hands.js"; echo '</script>'; } >"$tmp/wrapped"
quiet () { look && grep -F 'data-ready="true"' "$tmp/dom" && ! grep -F CONSOLE "$tmp/console"; }
saw () { grep -o '<title>down[^<]*' "$tmp/dom" && grep -F "$1" "$tmp/dom"; }

check "${names[0]}" quiet
sorts () { saw 'down43210;' && saw 'up01234ascending;' && saw 'accuracy32104;'; }
check "${names[1]}" sorts
check "${names[2]}" saw 'filter32;'
copies () { saw 'copiedtrue;Copied'; }
check "${names[3]}" copies
finish
