//! The example products are sound, whatever becomes of the parts and the boards.
#![allow(missing_docs)]

use std::{fs, path::Path};

use tutti_image::Project;

#[test]
fn every_product_of_ours_can_be_resolved() {
    let products = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../products");
    let mut names = Vec::new();
    for entry in fs::read_dir(products).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let path = folder.join("product.toml");
        let project = Project::read(&path).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        let limits = &project.product.limits;
        assert!(limits.ram.as_ref().is_some_and(|ram| project.plan.ram <= ram.value), "{}", path.display());
        names.push(project.product.name.value);
    }
    names.sort();
    assert_eq!(names, ["gateway", "panel", "sensor"]);
}
