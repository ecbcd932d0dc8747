use proptest::prelude::*;

use super::*;
use crate::{
    fault::{Faults, Texts},
    product,
};

/// Resolves a product with further parts on a board that has these words.
fn resolved(product_text: &str, parts: &str, has: &[&str]) -> (Result<Plan, Vec<Fault>>, Faults) {
    let (mut texts, mut faults) = (Texts::default(), Vec::new());
    let product = product::parse(&mut texts, "product.toml", product_text, &mut faults).expect("a product");
    let mut catalogue = Catalogue::default();
    catalogue.add(&mut texts, "parts.toml", parts, &mut faults);
    assert_eq!(faults, []);
    let target = Target {
        name: "board".into(),
        span: product.name.span.clone(),
        profile: product.profile.value,
        architecture: "x86_64".into(),
        has: has.iter().map(|it| (*it).to_owned()).collect(),
        parts: Vec::new(),
        ram: Size(1 << 20),
        flash: None,
    };
    let plan = resolve(&product, &catalogue, &target);
    let list = plan.as_ref().err().cloned().unwrap_or_default();
    (plan, Faults { list, texts })
}

fn product(parts: &str) -> String {
    format!("name = \"x\"\nversion = \"1.0.0\"\nparts = [{parts}]\n[hardware]\nboard = \"b\"\n")
}

const DRIVERS: &str = r#"
[net]
about = "a network"
profiles = ["standard"]
needs.interfaces = ["driver"]
[cheap]
about = "on a card"
profiles = ["standard"]
needs.hardware = ["card"]
needs.ram = "1 KiB"
gives.interfaces = ["driver"]
[dear]
about = "in software"
profiles = ["standard"]
needs.ram = "100 KiB"
gives.interfaces = ["driver", "more"]
[more]
about = "wants more"
profiles = ["standard"]
needs.interfaces = ["more"]
"#;

#[test]
fn the_cheapest_whole_is_taken() {
    let names = |text: &str, has: &[&str]| {
        let (plan, faults) = resolved(&product(text), DRIVERS, has);
        plan.unwrap_or_else(|_| panic!("{}", faults.render(false))).parts.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names("\"net\"", &["card"]), ["cheap", "net"]);
    assert_eq!(names("\"net\"", &[]), ["dear", "net"]);
    // The dear one is needed anyway, so the cheap one would be one too many.
    assert_eq!(names("\"net\", \"more\"", &["card"]), ["dear", "more", "net"]);
}

#[test]
fn the_wish_that_is_too_much_is_named() {
    let text = product("\"net\", \"more\"") + "[limits]\nram = \"50 KiB\"\n";
    let (plan, faults) = resolved(&text, DRIVERS, &["card"]);
    assert!(plan.is_err());
    let shown = faults.render(false);
    assert!(shown.contains("the parts take 100 KiB of RAM, and the product allows 50 KiB"), "{shown}");
}

#[test]
fn a_circle_is_named_with_its_places() {
    let parts = r#"
[a]
about = "a"
profiles = ["standard"]
needs.parts = ["b"]
[b]
about = "b"
profiles = ["standard"]
needs.parts = ["c"]
[c]
about = "c"
profiles = ["standard"]
needs.parts = ["b"]
"#;
    let (plan, faults) = resolved(&product("\"a\""), parts, &[]);
    let fault = plan.unwrap_err().remove(0);
    assert_eq!(fault.code, Code::Cycle);
    assert_eq!(fault.message, "parts need each other in a circle: b → c → b");
    insta::assert_snapshot!("circle", faults.render(false));
}

proptest! {
    /// Whatever parts there are: what is chosen holds together, nothing could be left out, and nothing hangs.
    #[test]
    fn what_is_chosen_holds_together(
        parts in prop::collection::vec((
            prop::collection::vec(0usize..8, 0..3), prop::collection::vec(0usize..4, 0..2),
            prop::collection::vec(0usize..4, 0..2), any::<bool>(), 0u64..9,
        ), 8),
        wishes in prop::collection::btree_set(0usize..8, 1..4),
    ) {
        let mut text = String::new();
        for (index, (needs, interfaces, gives, hardware, ram)) in parts.iter().enumerate() {
            // Only on what comes before: no circles here.
            let needs: Vec<_> = needs.iter().filter(|it| **it < index).map(|it| format!("\"p{it}\"")).collect();
            let list = |list: &[usize]| list.iter().map(|it| format!("\"i{it}\"")).collect::<Vec<_>>().join(", ");
            let hardware = if *hardware { "\"card\"" } else { "\"other\"" };
            let hardware = if index % 3 == 0 { hardware } else { "" };
            text += &format!(
                "[p{index}]\nabout = \"p\"\nprofiles = [\"standard\"]\nneeds.parts = [{}]\nneeds.interfaces = [{}]\n\
                 needs.hardware = [{hardware}]\nneeds.ram = \"{ram} B\"\ngives.interfaces = [{}]\n",
                needs.join(", "), list(interfaces), list(gives),
            );
        }
        let wanted: Vec<_> = wishes.iter().map(|it| format!("\"p{it}\"")).collect();
        let (plan, faults) = resolved(&product(&wanted.join(", ")), &text, &["card"]);
        let all = |chosen: &BTreeSet<usize>| chosen.iter().all(|index| {
            let (needs, interfaces, _, hardware, _) = &parts[*index];
            needs.iter().all(|need| *need >= *index || chosen.contains(need))
                && interfaces.iter().all(|it| chosen.iter().any(|other| parts[*other].2.contains(it)))
                && (*hardware || index % 3 != 0)
        });
        // All subsets, tried one by one.
        let whole = (0u32..256).map(|bits| (0..8).filter(|it| bits >> it & 1 == 1).collect::<BTreeSet<_>>());
        let cost = |set: &BTreeSet<usize>| (set.iter().map(|it| parts[*it].4).sum::<u64>(), set.len());
        let best = whole.filter(|set| wishes.is_subset(set) && all(set)).map(|set| cost(&set)).min();
        match (plan, best) {
            (Ok(plan), Some(best)) => {
                let set: BTreeSet<usize> = plan.parts.keys().map(|it| it[1..].parse().unwrap()).collect();
                prop_assert!(all(&set));
                prop_assert_eq!(cost(&set), best);
            }
            (Err(_), None) => prop_assert!(!faults.render(false).is_empty()),
            (plan, best) => prop_assert!(false, "{plan:?} {best:?}"),
        }
    }
}
