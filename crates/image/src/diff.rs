//! What two images have differently.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::Manifest;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs: a field, a part, a member, or a file.
    pub what: String,
    /// In the first image; none if it is not there.
    pub before: Option<String>,
    /// In the second.
    pub after: Option<String>,
}

/// All differences, those of whole images first.
pub fn diff(a: &Manifest, b: &Manifest) -> Vec<Difference> {
    let mut all = Vec::new();
    let fields = |it: &Manifest| {
        [
            ("product", it.product.clone()),
            ("version", it.version.clone()),
            ("profile", it.profile.to_string()),
            ("board", it.board.clone()),
            ("architecture", it.architecture.clone()),
            ("kernel", it.kernel.clone()),
            ("command line", it.command_line.clone()),
        ]
    };
    let owned = |list: [(&'static str, String); 7]| list.into_iter().map(|(name, value)| (name.to_owned(), value));
    compare(&mut all, "", owned(fields(a)).collect(), owned(fields(b)).collect());
    let parts = |it: &Manifest| it.parts.iter().map(|part| (part.name.clone(), part.why.clone())).collect();
    compare(&mut all, "part ", parts(a), parts(b));
    let members = |it: &Manifest| {
        let member = |it: &crate::manifest::Member| {
            (it.name.clone(), format!("{} bytes, {}", it.size, it.digest.get(..16).unwrap_or_default()))
        };
        it.members.iter().map(member).collect()
    };
    compare(&mut all, "member ", members(a), members(b));
    let files = |it: &Manifest| {
        let files = it.members.iter().flat_map(|member| &member.files);
        files.map(|file| (file.path.clone(), format!("{} bytes", file.size))).collect()
    };
    compare(&mut all, "", files(a), files(b));
    all
}

fn compare(all: &mut Vec<Difference>, what: &str, a: BTreeMap<String, String>, b: BTreeMap<String, String>) {
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    for name in names {
        let (before, after) = (a.get(name).cloned(), b.get(name).cloned());
        if before != after {
            all.push(Difference { what: format!("{what}{name}"), before, after });
        }
    }
}
