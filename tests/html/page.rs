//! The page as a document: what is in it, and what can't be.

use std::collections::BTreeSet;
use std::path::Path;

use hogwatch::report::html;
use hogwatch::report::incident::load::parse;
use hogwatch::report::incident::schema::{Incident, Sample, TopTask};
use roxmltree::{Document, Node, ParsingOptions};

use crate::{INCIDENTS, incident};

/// All there is on a page: nothing that loads, runs, sends or leads away.
const ELEMENTS: [&str; 37] = [
    "b", "body", "br", "code", "dd", "desc", "div", "dl", "dt", "footer", "h1", "h2", "h3", "head", "header", "html",
    "li", "line", "main", "meta", "ol", "p", "path", "section", "small", "span", "style", "svg", "table", "tbody",
    "td", "text", "th", "thead", "title", "tr", "ul",
];

const ATTRIBUTES: [&str; 27] = [
    "aria-hidden",
    "aria-label",
    "aria-labelledby",
    "charset",
    "class",
    "colspan",
    "content",
    "d",
    "dx",
    "height",
    "http-equiv",
    "id",
    "lang",
    "name",
    "preserveAspectRatio",
    "role",
    "scope",
    "tabindex",
    "text-anchor",
    "viewBox",
    "width",
    "x",
    "x1",
    "x2",
    "y",
    "y1",
    "y2",
];

/// Parses a page as XML, which it is meant to be besides.
fn read(page: &str) -> Document<'_> {
    Document::parse_with_options(page, ParsingOptions { allow_dtd: true, ..Default::default() })
        .unwrap_or_else(|e| panic!("{e}"))
}

fn elements<'a, 'i>(document: &'a Document<'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    document.descendants().filter(move |node| node.has_tag_name(name))
}

fn words(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

fn headline(page: &str) -> String {
    words(elements(&read(page), "h1").next().unwrap())
}

/// Every incident of this test and of its neighbours.
fn all() -> Vec<(String, Incident)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|file| Some((file.display().to_string(), parse(&std::fs::read(&file).unwrap()).ok()?.0)))
        .collect();
    assert!(all.len() >= INCIDENTS.len());
    all
}

#[test]
fn every_page_is_well_formed_and_made_of_harmless_parts_only() {
    for (name, incident) in all() {
        let page = html::page(&incident);
        let document = read(&page);
        for node in document.descendants().filter(Node::is_element) {
            assert!(ELEMENTS.contains(&node.tag_name().name()), "{name}: <{}>", node.tag_name().name());
            for attribute in node.attributes() {
                let known = ATTRIBUTES.contains(&attribute.name());
                assert!(known, "{name}: {}={:?}", attribute.name(), attribute.value());
            }
        }
        assert_eq!(page.matches("<style>").count(), 1, "{name}");
        let (before_style, _) = page.split_once("<style>").unwrap();
        assert!(before_style.contains("content=\"default-src 'none'; style-src 'unsafe-inline';"), "{name}");
        assert!(!page.contains("url(") && !page.contains("@import"), "{name}: loads something");
        assert_eq!(page, html::page(&incident), "{name}: not the same twice");
    }
}

#[test]
fn charts_are_described_and_drawn_with_finite_numbers() {
    for (name, incident) in all() {
        let page = html::page(&incident);
        let document = read(&page);
        let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{name}: an id twice");
        for chart in elements(&document, "svg").filter(|svg| svg.attribute("role") == Some("img")) {
            for id in chart.attribute("aria-labelledby").unwrap().split(' ') {
                let label = chart.children().find(|node| node.attribute("id") == Some(id)).unwrap();
                assert!(!words(label).is_empty(), "{name}: {id}");
            }
        }
        for node in document.descendants().filter(Node::is_element) {
            for attribute in ["d", "x", "y", "x1", "x2", "y1", "y2"].into_iter().filter_map(|a| node.attribute(a)) {
                assert!(!attribute.contains("NaN") && !attribute.contains("inf"), "{name}: {attribute}");
            }
        }
    }
}

#[test]
fn tables_have_headings_and_whole_rows() {
    for (name, incident) in all() {
        let page = html::page(&incident);
        let document = read(&page);
        for cell in elements(&document, "th") {
            assert!(matches!(cell.attribute("scope"), Some("col" | "row")), "{name}");
        }
        for table in elements(&document, "table") {
            let cells = |row: Node<'_, '_>| -> usize {
                let cells = row.children().filter(Node::is_element);
                cells.map(|cell| cell.attribute("colspan").map_or(1, |n| n.parse().unwrap())).sum()
            };
            let rows: Vec<usize> = table.descendants().filter(|node| node.has_tag_name("tr")).map(cells).collect();
            assert!(rows.len() > 1 && rows.iter().all(|&row| row == rows[0]), "{name}: {rows:?}");
            let parent = table.parent().unwrap();
            assert_eq!(parent.attribute("class"), Some("scroll"), "{name}: a table that can't scroll");
            assert!(parent.attribute("aria-label").is_some(), "{name}");
        }
    }
}

#[test]
fn an_attackers_names_are_text_and_nothing_else() {
    let incident = incident("hostile");
    let page = html::page(&incident);
    for raw in ["<script", "<img", "<b>b", "onerror=alert(2)\"", "\u{202e}", "\u{1b}", "\u{ffff}"] {
        assert!(!page.contains(raw), "{raw:?}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(2)&gt;&quot;&#39;"));
    // Whatever the name is, the reader sees it: it is the headline.
    let shown = "</title></style></script><script>alert(1)</script><img src=x onerror=alert(2)>";
    assert!(headline(&page).contains(shown), "{}", headline(&page));
    let document = read(&page);
    let title = elements(&document, "title").find(|node| node.parent().unwrap().has_tag_name("head")).unwrap();
    assert!(words(title).contains(shown));
}

#[test]
fn the_headline_is_the_answer() {
    let cases = [
        ("machine", "hogwatch killed ld.lld (pid 48213, 17.2 GiB) of gitlab-runner.service"),
        ("livelock", "hogwatch killed python3 (pid 731, 11.7 GiB) of web.service"),
        ("kernel", "The kernel's OOM killer killed node (pid 20514, 3.9 GiB) of ci-job-4711.scope"),
        ("unclean", "The machine went down without a shutdown"),
        ("empty", "Memory was short in the machine; nobody was killed"),
    ];
    for (name, expected) in cases {
        assert_eq!(headline(&html::page(&incident(name))), expected);
    }
}

#[test]
fn all_evidence_of_a_kill_is_there() {
    let incident = incident("machine");
    let page = html::page(&incident);
    let document = read(&page);
    let text = words(document.root());
    let entries = incident.events.iter().map(|entry| &entry.message);
    for said in entries.chain(incident.candidates.iter().map(|candidate| &candidate.comm)) {
        assert!(text.contains(said.as_str()), "{said}");
    }
    for advice in &incident.advice {
        assert!(text.contains(&advice.text), "{}", advice.id);
    }
    let headings: Vec<String> = elements(&document, "h3").map(|h3| words(h3.first_child().unwrap())).collect();
    let expected = ["Available memory", "Available memory around the acts", "Memory pressure", "Swap"];
    for heading in expected.into_iter().chain(["Largest tasks", "Largest cgroups"]) {
        assert!(headings.iter().any(|h3| h3.trim() == heading), "{heading}: {headings:?}");
    }
    let marks = document.descendants().find(|node| node.attribute("class") == Some("marks")).unwrap();
    let marks: Vec<String> = marks.children().filter(Node::is_element).map(words).collect();
    let expected =
        ["memory is getting short", "SIGTERM sent to ld.lld", "SIGKILL sent to ld.lld", "is gone", "recovered"];
    assert_eq!(marks.len(), expected.len(), "{marks:?}");
    for (mark, expected) in marks.iter().zip(expected) {
        assert!(mark.contains(expected), "{mark}: expected {expected}");
    }
    let victims = document.descendants().filter(|node| node.attribute("class") == Some("victim")).map(words);
    assert!(victims.into_iter().all(|row| row.contains("ld.lld") || row.contains("gitlab-runner")));
    for level in ["warn at 3.1 GiB", "term at 1.6 GiB", "kill at 958 MiB"] {
        assert!(text.contains(level), "{level}");
    }
}

#[test]
fn a_stuck_cgroup_is_drawn_between_its_limits() {
    let page = html::page(&incident("livelock"));
    let document = read(&page);
    let text = words(document.root());
    for said in ["Memory of web.service", "memory.high at 12.0 GiB", "memory.max at 16.0 GiB", "Stall of web.service"] {
        assert!(text.contains(said), "{said}");
    }
    assert!(text.contains("highest 93 % of the time"));
    let mut bare = incident("livelock");
    for few in [1, 0] {
        bare.cgroup_samples.truncate(few);
        assert!(!html::page(&bare).contains("Stall of"), "{few} samples show nothing");
    }
}

#[test]
fn who_has_ended_is_not_drawn_any_more() {
    let fresh = incident("machine");
    let ended = fresh.events.iter().find(|entry| entry.event == "exited").unwrap().t_ms;
    let victim = fresh.tops[0].tasks.iter().find(|task| task.comm == "ld.lld").unwrap().clone();
    let with = |comm: &str| {
        let mut stale = fresh.clone();
        let top = stale.tops.iter_mut().find(|top| top.t_ms > ended).unwrap();
        top.tasks.push(TopTask { comm: comm.to_owned(), size_bytes: 1 << 34, ..victim.clone() });
        html::page(&stale)
    };
    assert!(with("ld.lld") == html::page(&fresh), "the victim is drawn after its end");
    let document = with("make");
    let rows = read(&document);
    let mut rows = elements(&rows, "th").map(words);
    assert!(rows.any(|row| row.contains("make") && row.contains("48213")), "its pid is another's now");
}

#[test]
fn a_kernels_report_is_there() {
    let incident = incident("kernel");
    let page = html::page(&incident);
    let document = read(&page);
    let text = words(document.root());
    for process in &incident.kernel.as_ref().unwrap().processes {
        assert!(text.contains(&process.comm), "{}", process.comm);
    }
    for said in ["a cgroup's limit", "The largest 10 of 143 processes", "memory.max"] {
        assert!(text.contains(said), "{said}");
    }
}

/// How many pieces the line of available memory has, and how many points.
fn pieces_and_points(page: &str) -> Option<(usize, usize)> {
    let document = read(page);
    let line = elements(&document, "path").find(|path| path.attribute("class") == Some("line l-available"))?;
    let d = line.attribute("d").unwrap();
    Some((d.matches('M').count(), d.matches(['M', 'L']).count()))
}

/// An incident with these samples, and nothing else in it.
fn with_samples(times: impl Iterator<Item = u64>) -> String {
    let sample = |t_ms| Sample { t_ms, available_bytes: 1 << 30, ..Sample::default() };
    html::page(&Incident { before: times.map(sample).collect(), ..incident("empty") })
}

#[test]
fn any_number_of_samples_draws() {
    let begin = 1_785_208_502_000;
    let none = with_samples([].into_iter());
    assert_eq!(pieces_and_points(&none), None);
    assert!(none.contains("The flight recorder has nothing of this time."));
    assert_eq!(pieces_and_points(&with_samples([begin].into_iter())), Some((1, 1)));
    assert_eq!(pieces_and_points(&with_samples([begin, begin].into_iter())).unwrap().0, 1);
    assert_eq!(pieces_and_points(&with_samples((0..5).map(|n| begin + n * 1000))), Some((1, 5)));
    let (pieces, points) = pieces_and_points(&with_samples((0..2400).map(|n| begin + n * 250))).unwrap();
    assert!(pieces == 1 && (500..=2004).contains(&points), "{points}");
    // Whatever their order in the file.
    let (forth, back) = ((0..5).map(|n| begin + n * 1000), (0..5).rev().map(|n| begin + n * 1000));
    assert_eq!(with_samples(forth), with_samples(back));
}

#[test]
fn a_gap_is_not_drawn_over() {
    assert_eq!(pieces_and_points(&html::page(&incident("unclean"))).unwrap().0, 2);
    // The recorder's longest interval is no gap.
    assert_eq!(pieces_and_points(&with_samples((0..20).map(|n| 1_785_208_502_000 + n * 30_000))), Some((1, 20)));
}
