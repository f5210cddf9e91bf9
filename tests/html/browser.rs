//! The page in a real browser: nothing to complain of, nothing wider than the window, in print too.

use std::fs;
use std::path::{Path, PathBuf};

use hogwatch::report::html;
use serde_json::json;

use crate::devtools::{self, Browser};
use crate::{INCIDENTS, incident};

/// A phone, a tablet, a desk.
const WIDTHS: [u32; 3] = [360, 768, 1280];

/// Pages and pictures stay here, to be looked at.
fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("html");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The elements that reach over the edge of the window, but for what scrolls in a box of its own or is cut off by its plot.
const TOO_WIDE: &str = "[...document.querySelectorAll('body *')]
    .filter(e => !e.closest('.scroll, .hidden, svg svg') && e.getBoundingClientRect().right > innerWidth + 0.5)
    .map(e => e.tagName + '.' + (e.getAttribute('class') || '')).join(' ')";

/// The colour of the page.
const BACKGROUND: &str = "getComputedStyle(document.body).backgroundColor";

#[test]
fn every_page_fits_every_window_and_the_browser_has_nothing_to_complain_of() {
    let Some(program) = devtools::find() else {
        // `make test` says what it had to leave out, and exports LAB.
        assert!(std::env::var_os("LAB").is_none_or(|lab| lab != "required"), "chromium is not installed");
        return;
    };
    let directory = directory();
    let mut browser = Browser::start(&program);
    for (name, _) in INCIDENTS {
        let file = directory.join(format!("{name}.html"));
        fs::write(&file, html::page(&incident(name))).unwrap();
        for width in WIDTHS {
            resize(&mut browser, width);
            browser.open(&file);
            for scheme in ["light", "dark"] {
                let what = format!("{name} at {width} px, {scheme}");
                let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
                browser.call("Emulation.setEmulatedMedia", &json!({"features": features}));
                assert_eq!(widest(&mut browser), u64::from(width), "{what}: {}", browser.evaluate(TOO_WIDE));
                assert_eq!(browser.evaluate(TOO_WIDE), "", "{what}");
                let dark = browser.evaluate(BACKGROUND) != "rgb(255, 255, 255)";
                assert_eq!(dark, scheme == "dark", "{what}");
                screenshot(&mut browser, &directory.join(format!("{name}-{width}-{scheme}.png")));
            }
        }
        print(&mut browser, &directory.join(format!("{name}.pdf")));
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);

    // That the checks above see what they look for.
    let bad = directory.join("bad.html");
    let wide = "<div style='width: 2000px'>wide</div><script>1</script>";
    fs::write(&bad, html::page(&incident("empty")).replace("<main>", &format!("<main>{wide}"))).unwrap();
    resize(&mut browser, 360);
    browser.open(&bad);
    assert!(widest(&mut browser) > 360);
    assert_ne!(browser.evaluate(TOO_WIDE), "");
    assert!(browser.complaints.iter().any(|complaint| complaint.contains("script-src")), "{:?}", browser.complaints);
}

fn resize(browser: &mut Browser, width: u32) {
    let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500});
    browser.call("Emulation.setDeviceMetricsOverride", &metrics);
}

/// How wide the page is, or the window where a page that is too wide has made that wider.
fn widest(browser: &mut Browser) -> u64 {
    browser.evaluate("Math.max(document.documentElement.scrollWidth, innerWidth)").as_u64().unwrap()
}

fn screenshot(browser: &mut Browser, file: &Path) {
    let size = browser.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].clone();
    let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
    let shot =
        browser.call("Page.captureScreenshot", &json!({"format": "png", "captureBeyondViewport": true, "clip": clip}));
    let png = decode_base64(shot["data"].as_str().unwrap());
    assert!(png.starts_with(b"\x89PNG"));
    fs::write(file, png).unwrap();
}

fn print(browser: &mut Browser, file: &Path) {
    let printed = browser.call("Page.printToPDF", &json!({"printBackground": false, "preferCSSPageSize": true}));
    let pdf = decode_base64(printed["data"].as_str().unwrap());
    assert!(pdf.starts_with(b"%PDF"), "{}", file.display());
    fs::write(file, pdf).unwrap();
}

/// RFC 4648; what the browser sends has no line breaks.
fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for c in text.bytes().filter(|&c| c != b'=') {
        let digit = ALPHABET.iter().position(|&known| known == c).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}
