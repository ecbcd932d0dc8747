//! What hostile input may cost, at the limits that the product has: each reading ends with an error, within seconds and
//! within bounded memory, even unoptimised. `messages.rs` has the words of the same errors.

use std::time::{Duration, Instant};

use tutti_devicetree::{Disk, Limits, Loaded, Memory, Reading, dtb, load};

/// No reading may take longer. Most take a hundredth of it; the rest is for busy machines.
const LONGEST: Duration = Duration::from_secs(20);

/// Peak memory of this whole test program, in MiB.
const MOST: u64 = 512;

/// The largest that this process ever was, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Reads; it must fail, in time and memory, with words like these.
fn refused(what: &str, words: &str, read: impl FnOnce() -> Loaded) {
    let start = Instant::now();
    let loaded = read();
    let said = loaded.render(false);
    let took = start.elapsed();
    assert!(loaded.diags.has_errors() && said.contains(words), "{what}: {said}");
    assert!(said.len() < 1 << 20, "{what}: {} bytes of messages", said.len());
    assert!(took < LONGEST, "{what}: {took:?}");
    assert!(peak() < MOST, "{what}: {} MiB", peak());
}

/// One text of this name, or several files of which the first is read.
fn texts(files: &[(&str, &str)]) -> Loaded {
    let memory = files.iter().fold(Memory::default(), |memory, (name, text)| memory.with(name, *text));
    load(&[files[0].0], &memory, &Reading::default())
}

#[test]
fn files_of_two_gibibytes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    // Sparse: they take no room on the disk.
    for name in ["chip.dts", "chip.dtb", "chip.yaml", "part.dtsi", "part.bin"] {
        let file = std::fs::File::create(path(name)).expect("writable");
        file.set_len(2 << 30).expect("a sparse file");
    }
    let disk = |path: &str| load(&[path], &Disk, &Reading::default());
    for name in ["chip.dts", "chip.dtb", "chip.yaml"] {
        refused(name, "longer than", || disk(&path(name)));
    }
    for (name, line) in [
        ("a.dts", "#include \"part.dtsi\"\n/ { };"),
        ("b.dts", "/include/ \"part.dtsi\"\n/ { };"),
        ("c.dts", "/ { a = /incbin/(\"part.bin\"); };"),
        ("d.dts", "/ { a = /incbin/(\"part.bin\", 0x7fffffff, 0x7fffffff); };"),
    ] {
        std::fs::write(path(name), format!("/dts-v1/;\n{line}\n")).expect("writable");
        refused(name, "longer than", || disk(&path(name)));
    }
}

/// Every field of a blob that is a size or an offset says 2 GiB, just below, 4 GiB, or as much as there is and one more.
#[test]
fn blobs_that_say_they_are_large() {
    let text = "/dts-v1/;\n/memreserve/ 0x1000 0x7fffffff;\n/ { a { b = <1 2>; }; };\n";
    let blob = dtb::write(&tutti_devicetree::from_text("a.dts", text).tree);
    let start = Instant::now();
    let mut refused = 0;
    for at in (0..blob.len() - 3).step_by(4) {
        for size in [0x7fff_ffffu32, 0x8000_0000, 0xffff_ffff, 0xffff_fffc, blob.len() as u32 + 1] {
            let mut large = blob.clone();
            large[at..at + 4].copy_from_slice(&size.to_be_bytes());
            match dtb::read(&large, &Limits::default()) {
                Ok(tree) => assert!(dtb::write(&tree).len() < 2 * blob.len()),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > blob.len() / 2, "{refused} refused");
    assert!(start.elapsed() < LONGEST && peak() < MOST);
}

/// Numbers near the ends of 64 bits, where sums wrap.
#[test]
fn memory_that_runs_past_the_last_address() {
    let text = |reg: &str| {
        format!(
            "/dts-v1/;\n/ {{ #address-cells = <2>; #size-cells = <2>;\ncpus {{ #address-cells = <1>; #size-cells = <0>; \
             cpu@0 {{ device_type = \"cpu\"; reg = <0>; }}; }};\nmemory {{ device_type = \"memory\"; reg = <{reg}>; }};\n\
             domains {{ #address-cells = <2>; #size-cells = <2>; d {{ compatible = \"openamp,domain-v1\"; memory = \
             <{reg}>; }}; }}; }};\n"
        )
    };
    for reg in
        ["~0 ~0 ~0 ~0", "0 0 ~0 ~0", "~0 ~0 0 1", "~0 0xfffff000 0 0x1000", "0x80000000 0 0x80000000 0", "0 0 0 0"]
    {
        let reg = reg.replace("~0", "0xffffffff");
        let loaded = tutti_devicetree::from_text("a.dts", &text(&reg));
        assert!(!loaded.diags.has_errors(), "{}", loaded.render(false));
        // Checked, drawn and split without a panic; whether it is a fault is the linter's to say.
        tutti_devicetree::fuzz::source(text(&reg).as_bytes());
    }
}

/// Counts of cells by which buffers would be made.
#[test]
fn addresses_of_four_gibicells() {
    let source = "/dts-v1/;\n/ { #address-cells = <0xffffffff>; #size-cells = <0xffffffff>; cpus { }; memory { device_type = \
        \"memory\"; reg = <1>; }; bus { ranges; #interrupt-cells = <0xffffffff>; d: d { reg = <1 2>; interrupts = <1>; }; }; domains \
        { e { compatible = \"openamp,domain-v1\"; memory = <1>; access = <&d>; #access-flags-cells = <0xffffffff>; }; }; };\n";
    tutti_devicetree::fuzz::source(source.as_bytes());
    let yaml = "\"#address-cells\": [0xfffffff0]\n\"#size-cells\": [0xfffffff0]\nm@0: { start: 1, size: 2 }\ndomains:\n  \
        d: { compatible: \"openamp,domain-v1\", memory: [{ start: 1, size: 2 }] }\n";
    tutti_devicetree::fuzz::yaml(yaml.as_bytes());
    assert!(peak() < MOST, "{} MiB", peak());
}

#[test]
fn bombs() {
    let mut bomb = String::from("/dts-v1/;\n#define A0 1\n");
    (1..=10).for_each(|i| bomb += &format!("#define A{i} {}\n", format!("A{} ", i - 1).repeat(10)));
    refused("a bomb of macros", "without end", || texts(&[("a.dts", &(bomb.clone() + "/ { x = <A10>; };\n"))]));
    let paste = "/dts-v1/;\n#define D(a) a##a\n#define E(a) D(D(D(D(a))))\n#define F(a) E(E(E(E(E(E(a))))))\n/ { x = <F(1)>; };\n";
    refused("a bomb of pasting", "", || texts(&[("a.dts", paste)]));
    let doubling: Vec<(String, String)> =
        (0..60).map(|i| (format!("{i}.dtsi"), format!("#include \"{0}.dtsi\"\n", i + 1).repeat(2))).collect();
    let doubling: Vec<_> = doubling.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    refused("includes that double", "", || texts(&doubling));
    let itself = [("a.dts", "/dts-v1/;\n/include/ \"a.dts\"\n")];
    refused("a file that includes itself", "nest", || texts(&itself));
    let each_other = [("a.dts", "/dts-v1/;\n#include \"b.dtsi\"\n"), ("b.dtsi", "#include \"a.dts\"\n")];
    refused("files that include each other", "nest", || texts(&each_other));
    let mut laughs = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for letter in 'b'..='i' {
        let before = char::from(letter as u8 - 1);
        laughs += &format!("{letter}: &{letter} [{}]\n", vec![format!("*{before}"); 9].join(", "));
    }
    refused("a billion laughs", "", || texts(&[("a.yaml", &laughs)]));
}

#[test]
fn depth() {
    let many = 1 << 18;
    for (what, text) in [
        ("nodes", format!("/dts-v1/;\n/ {{ {}", "a { ".repeat(many))),
        ("parentheses", format!("/dts-v1/;\n/ {{ a = <{}>; }};\n", "(".repeat(many))),
        ("operators", format!("/dts-v1/;\n/ {{ a = <({}1)>; }};\n", "-".repeat(many))),
        ("questions", format!("/dts-v1/;\n/ {{ a = <({}1)>; }};\n", "1 ? ".repeat(many))),
        ("conditions", format!("/dts-v1/;\n{}", "#if 1\n".repeat(many))),
        ("condition", format!("/dts-v1/;\n#if {}\n#endif\n/ {{ }};\n", "(".repeat(many))),
        ("calls", format!("/dts-v1/;\n#define F(a) a\n/ {{ a = <{}1>; }};\n", "F(".repeat(many))),
    ] {
        if what == "operators" {
            // Those stand beside each other: no fault, and no recursion either.
            assert!(!texts(&[("a.dts", &text)]).diags.has_errors());
            continue;
        }
        refused(what, "", || texts(&[("a.dts", &text)]));
    }
    for (what, text) in [("lists", "[".repeat(many)), ("maps", "{a: ".repeat(many)), ("dashes", "- ".repeat(many))] {
        refused(what, "", || texts(&[("a.yaml", &text)]));
    }
}

/// More of everything than a chip has, but no depth: refused or read, in time.
#[test]
fn width() {
    let start = Instant::now();
    let nodes: String = (0..300_000).map(|i| format!("n{i} {{ }};\n")).collect();
    refused("nodes", "nodes", || texts(&[("a.dts", &format!("/dts-v1/;\n/ {{ {nodes} }};\n"))]));
    let properties: String = (0..20_000).map(|i| format!("p{i};\n")).collect();
    refused("properties", "properties", || texts(&[("a.dts", &format!("/dts-v1/;\n/ {{ {properties} }};\n"))]));
    let errors = "a = ;\n".repeat(100_000);
    refused("errors", "", || texts(&[("a.dts", &format!("/dts-v1/;\n/ {{ {errors} }};\n"))]));
    assert!(start.elapsed() < 3 * LONGEST);
}
