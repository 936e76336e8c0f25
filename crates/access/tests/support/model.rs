//! The naive second evaluator: reads the log as plain JSON, from the start, for every question. Slow, obvious, and written
//! without a line of the crate's own state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) struct Model {
    pub(crate) log: Vec<Value>,
}

fn text<'v>(record: &'v Value, key: &str) -> &'v str {
    record[key].as_str().unwrap_or_default()
}

pub(crate) fn set(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

impl Model {
    pub(crate) fn new(log: &[Vec<u8>]) -> Self {
        Self { log: log.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect() }
    }

    pub(crate) fn of_kind<'m>(&'m self, kind: &'m str) -> impl Iterator<Item = &'m Value> {
        self.log.iter().filter(move |record| text(record, "kind") == kind)
    }

    pub(crate) fn about<'m>(
        &'m self,
        kind: &'m str,
        key: &'m str,
        name: &'m str,
    ) -> impl Iterator<Item = &'m Value> {
        self.of_kind(kind).filter(move |record| text(record, key) == name)
    }

    fn profile(&self, person: &str) -> &Value {
        let changed = ["person-invited", "person-changed"];
        let last =
            self.log.iter().rfind(|r| changed.contains(&text(r, "kind")) && text(r, "person") == person);
        &last.unwrap()["profile"]
    }

    pub(crate) fn human(&self, person: &str) -> String {
        self.profile(person)["alias_of"].as_str().unwrap_or(person).to_owned()
    }

    fn active(&self, person: &str) -> bool {
        let last = self.log.iter().rfind(|r| {
            let kind = text(r, "kind");
            kind.starts_with("person-") && kind != "person-changed" && text(r, "person") == person
        });
        last.is_some_and(|r| ["person-enrolled", "person-restored"].contains(&text(r, "kind")))
    }

    /// Every grant of `person` on `resource` that holds at `at`: its name and classes.
    pub(crate) fn holds(&self, person: &str, resource: &str, at: u64) -> BTreeMap<String, BTreeSet<String>> {
        let profile = self.profile(person);
        let tenure = &profile["tenure"];
        let within = tenure.is_null()
            || (tenure["starts"].as_u64().unwrap() <= at && at < tenure["ends"].as_u64().unwrap());
        if !self.active(person) || !within {
            return BTreeMap::new();
        }
        self.of_kind("grant-opened")
            .filter(|g| text(g, "person") == person && text(g, "resource") == resource)
            .filter(|g| g["starts"].as_u64().unwrap() <= at && at < g["ends"].as_u64().unwrap())
            .filter(|g| self.about("grant-ended", "grant", text(g, "grant")).next().is_none())
            .map(|g| (text(g, "grant").to_owned(), set(&g["classes"])))
            .collect()
    }

    pub(crate) fn classes(&self, person: &str, resource: &str, at: u64) -> BTreeSet<String> {
        self.holds(person, resource, at).into_values().flatten().collect()
    }
}
