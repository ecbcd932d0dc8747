//! The layer `deny`: whose code is used, under which licences, and in how many versions.
//!
//! A small part of what [cargo-deny](https://embarkstudios.github.io/cargo-deny/) does, from the same `deny.toml`, on
//! what `cargo metadata` says of the workspace and of `firmware/`: cargo-deny itself takes longer to build than Tutti. Checked are, for the targets in
//! `[graph]`: that each package comes from a permitted registry, that its licence expression can be met with the
//! licences in `[licenses]`, and that no two versions of a package are used except those in `[bans]`, each with its
//! reason. What is listed but no longer needed is an error too, so that the lists stay true.

mod config;
mod spdx;
mod toml;

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use self::config::Config;
use crate::{cargo, firmware, process::root};

/// Checks the workspace as it is; a word on what was seen, or all that is wrong.
pub(crate) fn check() -> Result<String, String> {
    let path = root().join("deny.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let config = Config::parse(&text).map_err(|error| format!("deny.toml: {error}"))?;
    let platforms = config.targets.iter().flat_map(|target| ["--filter-platform", target]);
    let metadata = cargo::metadata(&platforms.collect::<Vec<_>>())?;
    let mut packages = packages(&metadata)?;
    // What runs on microcontrollers is a workspace of its own, and the same rules hold for it.
    let platform = ["--manifest-path", "firmware/Cargo.toml", "--filter-platform", firmware::TARGET];
    for package in self::packages(&cargo::metadata(&platform)?)? {
        if !packages.iter().any(|known| known.name == package.name && known.version == package.version) {
            packages.push(package);
        }
    }
    let faults = faults(&config, &packages);
    if faults.is_empty() {
        return Ok(format!("{} packages", packages.len()));
    }
    Err(format!("{} found\n  {}", faults.len(), faults.join("\n  ")))
}

struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

fn packages(metadata: &Value) -> Result<Vec<Package>, String> {
    let all = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let read = |package: &Value| {
        let (name, version) = (text(&package["name"])?, text(&package["version"])?);
        Some(Package { name, version, license: text(&package["license"]), source: text(&package["source"]) })
    };
    all.iter().map(|package| read(package).ok_or_else(|| format!("what package is {package}?"))).collect()
}

fn faults(config: &Config, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    sources(config, packages, &mut faults);
    licences(config, packages, &mut faults);
    duplicates(config, packages, &mut faults);
    faults
}

fn sources(config: &Config, packages: &[Package], faults: &mut Vec<String>) {
    for Package { name, version, source, .. } in packages {
        if let Some(source) = source
            && !config.registries.iter().any(|it| source.strip_prefix("registry+") == Some(it))
        {
            faults.push(format!("{name} {version} comes from {source}, which [sources] does not permit"));
        }
    }
}

fn licences(config: &Config, packages: &[Package], faults: &mut Vec<String>) {
    let mut used = Vec::new();
    for Package { name, version, license, .. } in packages {
        let extra = config.exceptions.get(name).map(Vec::as_slice).unwrap_or_default();
        let Some(license) = license else {
            faults.push(format!("{name} {version} names no licence"));
            continue;
        };
        let mut allowed = |id: &str| {
            let known = config.allowed.iter().chain(extra).find(|it| *it == id);
            used.extend(known.map(|_| id.to_owned()));
            known.is_some()
        };
        match spdx::permits(license, &mut allowed) {
            Ok(true) => (),
            Ok(false) => {
                faults.push(format!("{name} {version} is under {license:?}, which [licenses] does not permit"))
            }
            Err(error) => faults.push(format!("{name} {version}: the licence {license:?} is unclear: {error}")),
        }
    }
    let unused = config.allowed.iter().filter(|id| !used.contains(id));
    faults.extend(unused.map(|id| format!("[licenses] permits {id}, which nothing needs")));
    let gone = config.exceptions.keys().filter(|name| packages.iter().all(|package| package.name != **name));
    faults.extend(gone.map(|name| format!("[licenses] has an exception for {name}, which is not used")));
}

fn duplicates(config: &Config, packages: &[Package], faults: &mut Vec<String>) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    for (name, versions) in &versions {
        let unlisted = versions.iter().filter(|version| !config.skips.iter().any(|skip| skip.matches(name, version)));
        if unlisted.count() > 1 {
            faults.push(format!(
                "{name} is used in the versions {}: unify them or list all but one in [bans]",
                versions.join(", ")
            ));
        }
    }
    let is_duplicate = |name: &str| versions.get(name).is_some_and(|versions| versions.len() > 1);
    for skip in &config.skips {
        if !packages.iter().any(|it| skip.matches(&it.name, &it.version) && is_duplicate(&it.name)) {
            faults.push(format!("[bans] skips {skip}, which is no duplicate any more"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [graph]
        targets = ["x86_64-unknown-linux-gnu"]
        [licenses]
        allow = ["MIT"]
        exceptions = [{ crate = "roots", allow = ["CDLA-Permissive-2.0"] }]
        [bans]
        multiple-versions = "deny"
        skip = [{ crate = "syn:2", reason = "half the world" }]
        [sources]
        allow-registry = ["https://registry"]
    "#;

    fn package(name: &str, version: &str, license: &str) -> Package {
        let source = Some("registry+https://registry".into());
        Package { name: name.into(), version: version.into(), license: Some(license.into()), source }
    }

    fn good() -> Vec<Package> {
        let own = Package { source: None, ..package("own", "0.1.0", "Apache-2.0 OR MIT") };
        let syn = ["2.0.1", "3.0.9"].map(|version| package("syn", version, "MIT"));
        [own, package("roots", "1.0.0", "CDLA-Permissive-2.0")].into_iter().chain(syn).collect()
    }

    fn check(packages: &[Package]) -> Vec<String> {
        faults(&Config::parse(CONFIG).unwrap(), packages)
    }

    #[track_caller]
    fn one_fault(packages: &[Package], about: &str) {
        let faults = check(packages);
        assert!(faults.len() == 1 && faults[0].contains(about), "{faults:?}");
    }

    #[test]
    fn what_is_listed_is_permitted() {
        assert_eq!(check(&good()), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_listed_is_named() {
        let with = |extra| good().into_iter().chain([extra]).collect::<Vec<_>>();
        one_fault(&with(package("x", "1.0.0", "GPL-3.0-only")), "GPL-3.0-only");
        one_fault(&with(package("x", "1.0.0", "CDLA-Permissive-2.0")), "x 1.0.0");
        one_fault(&with(Package { license: None, ..package("x", "1.0.0", "") }), "no licence");
        one_fault(&with(package("syn", "4.0.0", "MIT")), "syn is used in the versions 2.0.1, 3.0.9, 4.0.0");
        one_fault(&with(Package { source: Some("git+https://x".into()), ..package("x", "1.0.0", "MIT") }), "git+");
    }

    #[test]
    fn lists_must_not_outlive_their_reasons() {
        let without = |name: &str| good().into_iter().filter(|it| it.name != name).collect::<Vec<_>>();
        one_fault(&without("roots"), "exception for roots");
        let faults = check(&without("syn"));
        assert!(faults.iter().any(|fault| fault.contains("skips syn:2")), "{faults:?}");
    }
}
