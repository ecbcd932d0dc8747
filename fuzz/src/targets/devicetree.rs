//! Device trees: vendors' sources, boot loaders' blobs, anybody's overlays and YAML. What must
//! hold of them is said beside the functions themselves, which the crate's own property tests use as well.

use tutti_devicetree::{dtb, from_text, yaml};

pub(crate) use tutti_devicetree::fuzz::{blob, overlay, source, yaml};

/// The smallest of the sample chips: two domains, RPMsg between them, macros and references.
const CHIP: &str = include_str!("../../../examples/devicetree/mps2-an521.dts");

/// Merges into the base that the target has.
const OVERLAY: &str = "/dts-v1/;\n/plugin/;\n&a { y = <&a &n>; n: n@1 { reg = <1>; }; };\n&{/b} { z = \"x\"; };\n";

pub(crate) fn source_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let macros = "/dts-v1/;\n#include \"in.dtsi\"\n#define CAT(a, b) a##b\n#define V(x, ...) CAT(0x, x) __VA_ARGS__\n\
        #if defined(V) && (1 << 3) == 8 ? 1 : 0\n/ { a = <V(12, 3) (4 * -1)>; b = /bits/ 8 <'a' 0377>, [00 ff]; };\n#else\n\
        #error no\n#endif\n/ { /omit-if-no-ref/ l: l { }; k { m = &l; /delete-property/ m; }; /delete-node/ k; };\n";
    vec![("chip", CHIP.into()), ("overlay", OVERLAY.into()), ("macros", macros.into())]
}

pub(crate) fn blob_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let small = "/dts-v1/;\n/memreserve/ 0x1000 0x20;\n/ { a: a@1 { reg = <1>; b = <&a>, \"text\"; c; }; };\n";
    vec![("chip", dtb::write(&from_text("a.dts", CHIP).tree)), ("small", dtb::write(&from_text("a.dts", small).tree))]
}

pub(crate) fn overlay_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![("overlay", dtb::write(&from_text("a.dtso", OVERLAY).tree))]
}

pub(crate) fn yaml_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![("chip", yaml::to_yaml(&from_text("a.dts", CHIP).tree).into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_reach_deep() {
        for (name, bytes) in source_seeds() {
            let files = tutti_devicetree::Memory::default().with("a.dts", bytes).with("in.dtsi", "/ { };\n");
            let loaded = tutti_devicetree::load(&["a.dts"], &files, &Default::default());
            assert!(!loaded.diags.has_errors(), "{name}: {}", loaded.render(false));
        }
        assert_eq!(tutti_devicetree::command::domains(&from_text("a.dts", CHIP).tree).len(), 2);
    }
}
