//! The report in a browser: it opens from disk, asks for nothing, sorts, filters and tells where numbers come from, on every
//! width, in light and dark and on paper, and without its script.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Trestle;
use support::browser::Browser;

/// The texts of all elements that a selector finds and that are shown.
fn shown(browser: &Browser, selector: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll(`{selector}`)].filter(e => e.checkVisibility()).map(e => e.textContent.trim())"
    );
    browser.run(&script).as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn choose(browser: &Browser, name: &str, value: &str) {
    browser.run(&format!(
        "const select = document.querySelector(`#filter [name={name}]`); select.value = `{value}`;
         select.dispatchEvent(new Event('change', {{bubbles: true}}))"
    ));
}

#[test]
#[ignore = "needs TRESTLE_CHROMEDRIVER"]
fn chromium_shows_the_report() {
    let trestle = Trestle::new();
    trestle.ok(&["run", "tiny", "--device", "flex", "--workers", "2"]);
    let page = trestle.home().join("results/report-tiny.html");
    let browser = Browser::start();
    browser.resize(1400);
    browser.open(&page);

    sorts(&browser);
    filters(&browser);
    is_reached_by_keys_when_filtered(&browser);
    tells_origins(&browser, &trestle);
    fits_every_width(&browser);
    has_contrast(&browser);
    prints(&browser);

    // All of that made no error and no request but for the page.
    let console = browser.log("browser");
    assert!(console.is_empty(), "{console:#?}");
    let asked = requests(&browser);
    assert!(!asked.is_empty() && asked.iter().all(|url| url.starts_with("file://")), "{asked:?}");
    assert!(asked.iter().all(|url| url.split('#').next().unwrap().ends_with("/report-tiny.html")), "{asked:?}");

    reads_without_script(&browser, &page);
}

/// The addresses that the page asked for, and its own; what the browser opened before is left out.
fn requests(browser: &Browser) -> Vec<String> {
    let events = browser.log("performance");
    let messages =
        events.iter().map(|event| serde_json::from_str::<Value>(event["message"].as_str().unwrap()).unwrap());
    let sent = messages.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
    let of_page = |event: &Value| {
        let document = event["message"]["params"]["documentURL"].as_str();
        document.is_some_and(|document| document.starts_with("file://"))
    };
    sent.filter(of_page)
        .map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned())
        .collect()
}

fn sorts(browser: &Browser) {
    let rows = || shown(browser, ".grid tbody tr > th");
    let original = rows();
    let values = || -> Vec<f64> {
        let values =
            browser.run("return [...document.querySelectorAll('.grid td[data-target=xnli]')].map(e => +e.dataset.v)");
        values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let click = || browser.run("document.querySelector('.grid th[data-target=xnli] button').click()");
    let direction =
        || browser.run("return document.querySelector('.grid th[data-target=xnli]').getAttribute('aria-sort')");
    let before = values();
    click();
    assert!(values().is_sorted_by(|a, b| a >= b) && direction() == "descending", "{:?}", values());
    click();
    assert!(values().is_sorted() && direction() == "ascending", "{:?}", values());
    click();
    assert_eq!((rows(), values(), direction()), (original.clone(), before, Value::Null));
    // Texts begin with the alphabet's first.
    let by_name = || {
        browser.run("document.querySelector('.grid th button').click()");
        browser.run("return document.querySelector('.grid th').getAttribute('aria-sort')")
    };
    assert_eq!(by_name(), "ascending");
    assert_eq!(rows().iter().map(|row| &row[..4]).collect::<Vec<_>>(), ["chan", "mnli", "mult", "none"]);
    assert_eq!(by_name(), "descending");
    assert_eq!(rows().iter().map(|row| &row[..4]).collect::<Vec<_>>(), ["none", "mult", "mnli", "chan"]);
    assert_eq!((by_name(), rows()), (Value::Null, original));
}

fn filters(browser: &Browser) {
    let heads = || shown(browser, ".grid thead th[data-target]").len();
    let all = heads();
    assert!(all > 1);
    choose(browser, "target", "xnli");
    assert_eq!(heads(), 1);
    assert_eq!(shown(browser, ".heat").len(), 1);
    choose(browser, "row", "mnli");
    assert_eq!(shown(browser, ".grid tbody tr > th"), ["mnli"]);
    choose(browser, "language", "de");
    let languages = shown(browser, ".heat tbody tr > th");
    assert!(languages.len() == 1 && languages[0].starts_with("de"), "{languages:?}");
    choose(browser, "family", "Sino-Tibetan");
    assert!(shown(browser, ".heat tbody tr > th").is_empty());
    choose(browser, "language", "");
    let languages = shown(browser, ".heat tbody tr > th");
    assert!(languages.len() == 1 && languages[0].starts_with("zh"), "{languages:?}");
    reset(browser);
    assert_eq!((heads(), shown(browser, ".heat tbody tr > th").len() > 3), (all, true));
}

const ESCAPE: char = '\u{e00c}';
const LEFT: char = '\u{e012}';
const RIGHT: char = '\u{e014}';
const DOWN: char = '\u{e015}';
const ENTER: char = '\u{e007}';

/// Shows everything again.
fn reset(browser: &Browser) {
    browser.run("document.querySelector('#filter button[type=reset]').click()");
    // The form is reset after the event.
    browser
        .tool("Runtime.evaluate", &json!({"expression": "new Promise(r => setTimeout(r, 50))", "awaitPromise": true}));
}

fn is_reached_by_keys_when_filtered(browser: &Browser) {
    let reachable = || shown(browser, ".heat a[tabindex='0']").len();
    let maps = shown(browser, ".heat").len();
    assert_eq!(reachable(), maps, "a cell a map");
    // The first column is hidden, and all rows but the last.
    choose(browser, "row", "none");
    choose(browser, "language", "zh");
    assert_eq!(reachable(), maps);
    let place = "const cell = document.activeElement.closest('td');
                 return cell && `${cell.dataset.row} ${cell.parentElement.dataset.language}`";
    browser.run("document.querySelector('.heat a[tabindex=\"0\"]').focus()");
    assert_eq!(browser.run(place), "none zh");
    // There is nowhere to go until a column further is shown again.
    browser.press(&[LEFT, RIGHT, DOWN]);
    assert_eq!(browser.run(place), "none zh");
    choose(browser, "row", "");
    browser.run("document.querySelectorAll('.heat td[data-row=mnli]').forEach(cell => cell.hidden = true)");
    browser.run("document.querySelector('.heat a[tabindex=\"0\"]').focus()");
    browser.press(&[RIGHT]);
    assert_eq!(browser.run(place), "multi zh", "what is hidden is passed over");
    reset(browser);
    assert_eq!(reachable(), maps);
}

fn tells_origins(browser: &Browser, trestle: &Trestle) {
    let sql = "SELECT score_key, predict_key, model_key FROM runs WHERE target = 'xnli' AND row = 'mnli'";
    let keys = trestle.ok(&["query", sql, "--format", "csv"]).out;
    let keys: Vec<&str> = keys.lines().nth(1).unwrap().split(',').collect();
    let panel = || shown(browser, "#panel").concat();
    assert!(panel().is_empty());
    browser.run("document.querySelector('tr[data-row=mnli] td[data-target=xnli] a.value').click()");
    let text = panel();
    assert!(text.contains("xnli after mnli") && text.contains("trestle explain tiny/xnli/mnli/seed-1"), "{text}");
    assert!(keys.iter().all(|key| key.len() == 64 && text.contains(key)), "{text}");
    assert!(text.contains("normalize/xnli") && text.contains("target on mnli"), "{text}");
    browser.press(&[ESCAPE]);
    assert!(panel().is_empty(), "Escape closes it");
    // From the first cell (English, chance) to German after none, and in.
    browser.run("document.querySelector('.heat td.chance a').focus()");
    browser.press(&[DOWN, RIGHT, ENTER]);
    let text = panel();
    assert!(
        text.contains("xnli after none: de") && text.contains("trestle explain tiny/xnli/none/seed-1/de"),
        "{text}"
    );
    browser.run("document.querySelector('#panel button').click()");
    assert!(panel().is_empty());
    // A number of a group, by Enter; an average leads to the list of its cells.
    browser.run(
        "const link = document.querySelector('.plain tr[data-family=Sino-Tibetan] td[data-row=mnli] a');
                 link.closest('details').open = true; link.focus()",
    );
    browser.press(&[ENTER]);
    let text = panel();
    assert!(text.contains("xnli after mnli: Sino-Tibetan") && text.contains("tiny/xnli/mnli/seed-1"), "{text}");
    browser.press(&[ESCAPE]);
    browser.run("document.querySelector('tr[data-row=mnli] td:last-child a').click()");
    assert!(panel().is_empty());
    let listed = browser.run("const name = document.querySelector(location.hash);
                              return name.checkVisibility() && `${name.textContent}: ${name.nextElementSibling.textContent}`");
    assert_eq!(listed, "mnli: xnli, udpos, xquad, tatoeba");
    // No link leads nowhere.
    let lost = browser.run(
        "return [...document.querySelectorAll('main a')].map(a => a.getAttribute('href'))
                            .filter(href => !document.getElementById(href.slice(1)))",
    );
    assert_eq!(lost, json!([]));
}

fn fits_every_width(browser: &Browser) {
    for width in [360, 820, 1400] {
        browser.resize(width);
        let wide = browser.run("return document.documentElement.scrollWidth > innerWidth");
        assert_eq!(wide, false, "the page scrolls sideways at {width}");
        let outside = browser.run(
            "return [...document.querySelectorAll('main *')].filter(e => e.checkVisibility() && !e.closest('.scroll, svg, pre')
             && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))",
        );
        assert_eq!(outside, json!([]), "cut off at {width}");
    }
}

/// The contrast, as WCAG 2 defines it, 1 to 21, of the colours that a script puts into `one` and `other`.
fn contrast_of(browser: &Browser, colors: &str) -> f64 {
    let script = format!(
        "const canvas = document.createElement('canvas').getContext('2d', {{willReadFrequently: true}});
         const light = color => {{
           canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
           const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
             .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
           return 0.2126 * r + 0.7152 * g + 0.0722 * b;
         }};
         {colors}
         const a = light(one), b = light(other);
         return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)"
    );
    browser.run(&script).as_f64().unwrap()
}

/// The contrast of an element's text and what is behind it.
fn contrast(browser: &Browser, selector: &str) -> f64 {
    contrast_of(
        browser,
        &format!(
            "const element = document.querySelector(`{selector}`);
             let behind = element;
             while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
             const one = getComputedStyle(element).color, other = getComputedStyle(behind).backgroundColor;"
        ),
    )
}

/// The contrast of two colours of the style sheet.
fn colors_contrast(browser: &Browser, one: &str, other: &str) -> f64 {
    contrast_of(
        browser,
        &format!(
            "const style = getComputedStyle(document.documentElement);
             const one = style.getPropertyValue(`{one}`), other = style.getPropertyValue(`{other}`);"
        ),
    )
}

fn has_contrast(browser: &Browser) {
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.emulate("screen", scheme);
        browser.run("document.querySelector('.heat td.chance').style.setProperty('--depth', '55%')");
        for selector in [
            "main li",
            "main p.muted",
            ".grid .change.up, .grid .change.down",
            ".panel small",
            ".heat td[style*='55%']",
            ".heat td.chance",
            ".heat td.chance *",
            "a",
        ] {
            let found = contrast(browser, selector);
            assert!(found >= 4.5, "{selector} has contrast {found} in {scheme}");
        }
        backgrounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
        // A whisker has one colour on its bar and another beside it.
        for number in 0..12 {
            let found = colors_contrast(browser, "--panel", &format!("--c{number}"));
            assert!(found >= 3.0, "whiskers on colour {number} have contrast {found} in {scheme}");
        }
        assert!(colors_contrast(browser, "--panel", "--ink") >= 3.0, "{scheme}");
        let on_bars = browser.run(
            "const panel = getComputedStyle(document.querySelector('.panel')).backgroundColor;
             return [...document.querySelectorAll('.panel svg polyline')].filter(e => getComputedStyle(e).stroke === panel).length",
        );
        assert!(on_bars.as_u64().unwrap() > 0, "no whisker is drawn on a bar in {scheme}");
        // A chart's text takes the page's colour, not the one that it was drawn with.
        let fill = browser.run("return getComputedStyle(document.querySelector('.panel svg text')).fill");
        let muted = browser.run("return getComputedStyle(document.querySelector('p.muted')).color");
        assert_eq!(fill, muted, "{scheme}");
    }
    assert_eq!(backgrounds, ["rgb(255, 255, 255)", "rgb(16, 21, 27)"]);
}

fn prints(browser: &Browser) {
    browser.emulate("print", "dark");
    let style = |script: &str| browser.run(&format!("return getComputedStyle({script}"));
    assert_eq!(style("document.body).backgroundColor"), "rgb(255, 255, 255)");
    assert_eq!(style("document.getElementById('filter')).display"), "none");
    assert_eq!(style("document.querySelector('details'), '::details-content').contentVisibility"), "visible");
    // A suite's missing tasks are a long line, which paper would cut off.
    let suites = "document.querySelector('[aria-label^=\"Means over the tasks\"] td.words')).whiteSpace";
    assert_eq!(style(suites), "normal");
    let pdf = browser.tool("Page.printToPDF", &json!({"printBackground": true}));
    assert!(pdf["data"].as_str().unwrap().starts_with("JVBERi0"), "no PDF");
    // What was closed is open while it prints, and closed again after.
    let open = || browser.run("return document.querySelectorAll('details[open]').length").as_u64().unwrap();
    let before = open();
    browser.run("dispatchEvent(new Event('beforeprint'))");
    assert!(open() > before);
    browser.run("dispatchEvent(new Event('afterprint'))");
    assert_eq!(open(), before);
    assert!(shown(browser, "#shown").is_empty(), "the whole page is shown");
    choose(browser, "target", "xnli");
    choose(browser, "language", "de");
    assert_eq!(shown(browser, "#shown"), ["Tables show only what belongs to target xnli, language German."]);
    browser.emulate("screen", "light");
    assert!(shown(browser, "#shown").is_empty());
    reset(browser);
    browser.emulate("screen", "light");
}

fn reads_without_script(browser: &Browser, page: &Path) {
    browser.run("window.before = true");
    browser.tool("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(page);
    // The page's own script does not run, but the developer tools' expressions do. The driver cannot tell when such a
    // page has loaded, so this waits for it itself.
    let evaluate = |expression: &str| {
        let asked = json!({"expression": expression, "returnByValue": true});
        browser.tool("Runtime.evaluate", &asked)["result"]["value"].take()
    };
    let start = Instant::now();
    while evaluate("!window.before && document.readyState === 'complete'") != true {
        assert!(start.elapsed() < Duration::from_secs(60), "the page does not load without script");
        std::thread::sleep(Duration::from_millis(20));
    }
    let count = |selector: &str| evaluate(&format!("document.querySelectorAll(`{selector}`).length")).as_u64().unwrap();
    assert_eq!(count("th button"), 0, "no control that would do nothing");
    assert!(count("#filter[hidden]") > 0 && count(".heat td[title]") > 0 && count("svg polyline") > 0);
    // A number's link leads to an element that is there.
    let link = evaluate("document.querySelector('a.value').getAttribute('href')");
    let target = link.as_str().unwrap();
    assert!(target.starts_with('#') && count(target) > 0, "{link}");
}
