//! The published description of the API is the one the code gives. `UPDATE_GOLDEN=1 cargo test -p daypass-server` writes it.

use std::path::PathBuf;

#[test]
fn the_golden_file_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let text = daypass_server::openapi::text().unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "docs/reference/openapi.json is out of date: UPDATE_GOLDEN=1 cargo test -p daypass-server"
    );
}

/// Every route that is served is described: the table of routes is read as text.
#[test]
fn every_route_is_described() {
    let described = daypass_server::openapi::text().unwrap();
    let table = include_str!("../src/routes.rs");
    let routes: Vec<&str> =
        table.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    assert!(routes.len() > 30);
    for route in routes {
        let route = route.replace("{*", "{");
        assert!(described.contains(&format!("\"{route}\"")), "{route}");
    }
}
