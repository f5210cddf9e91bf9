//! The Grafana dashboard, as far as that can be told without a Grafana
//! (<https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>).

use std::collections::HashSet;

use serde_json::Value;

use crate::names_only_what_exists;
use crate::promtool::check_queries;

const DASHBOARD: &str = include_str!("../../packaging/grafana/hogwatch.json");

/// Grafana's grid.
const COLUMNS: u64 = 24;

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn list<'a>(of: &'a Value, name: &str) -> &'a Vec<Value> {
    of[name].as_array().unwrap_or_else(|| panic!("no {name} in {of}"))
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("no {name} in {of}"))
}

/// Every panel that asks something.
fn asking(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").iter().filter(|panel| panel["type"] != "row")
}

fn queries(dashboard: &Value) -> Vec<&str> {
    let annotations = list(&dashboard["annotations"], "list").iter().filter_map(|a| a["expr"].as_str());
    let targets = asking(dashboard).flat_map(|panel| list(panel, "targets")).map(|target| text(target, "expr"));
    targets.chain(annotations).collect()
}

#[test]
fn it_can_be_imported() {
    let dashboard = dashboard();
    // A dashboard with an id would replace another one.
    assert_eq!(dashboard["id"], Value::Null);
    assert!((8..=40).contains(&text(&dashboard, "uid").len()));
    assert!(!text(&dashboard, "title").is_empty());
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36), "panels of this form came with Grafana 9");
    for name in ["datasource", "instance"] {
        let variables = list(&dashboard["templating"], "list");
        assert_eq!(variables.iter().filter(|variable| variable["name"] == name).count(), 1, "{name}");
    }
}

#[test]
fn panels_have_ids_places_and_words_of_their_own() {
    let dashboard = dashboard();
    let (mut ids, mut titles, mut taken) = (HashSet::new(), HashSet::new(), HashSet::new());
    for panel in list(&dashboard, "panels") {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{} twice", panel["id"]);
        assert!(titles.insert(text(panel, "title")), "{} twice", panel["title"]);
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= COLUMNS, "{} is too wide", panel["title"]);
        for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} lies over another panel", panel["title"]);
        }
    }
}

#[test]
fn every_panel_asks_the_chosen_source_about_the_chosen_machines() {
    let dashboard = dashboard();
    for panel in asking(&dashboard) {
        assert!(!text(panel, "description").is_empty(), "{}", panel["title"]);
        let mut refs = HashSet::new();
        for target in list(panel, "targets") {
            assert!(refs.insert(text(target, "refId")), "{}", panel["title"]);
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
        assert!(!refs.is_empty(), "{} asks nothing", panel["title"]);
    }
    for query in queries(&dashboard) {
        assert_eq!(query.matches('{').count(), query.matches("{instance=~\"$instance\"").count(), "{query}");
    }
}

#[test]
fn every_query_is_well_formed_and_names_what_exists() {
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    check_queries(queries.iter().copied());
    for query in &queries {
        names_only_what_exists(query, query);
    }
    let variables = list(&dashboard["templating"], "list").iter().filter_map(|v| v["definition"].as_str());
    variables.for_each(|definition| names_only_what_exists(definition, definition));
}
