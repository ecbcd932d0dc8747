//! The linter: a tree without faults, and one change for each fault.

use tutti_devicetree::{Code, check, from_text};

/// Two clusters, two memories, two devices, a mailbox each; Linux starts and talks to an RTOS.
const BASE: &str = r#"/dts-v1/;
/ {
	#address-cells = <1>;
	#size-cells = <1>;
	interrupt-parent = <&gic>;
	cpus_a: cpus {
		#address-cells = <1>;
		#size-cells = <0>;
		cpu@0 { device_type = "cpu"; reg = <0>; };
		cpu@1 { device_type = "cpu"; reg = <1>; };
	};
	cpus_m: cpus-m {
		compatible = "cpus,cluster";
		#address-cells = <1>;
		#size-cells = <0>;
		#ranges-address-cells = <1>;
		#ranges-size-cells = <1>;
		address-map = <0x40000000 &soc 0x40000000 0x100000>,
			      <0x0 &tcm 0x10000000 0x10000>,
			      <0x20000000 &ddr 0x80000000 0x10000000>,
			      <0xe0000000 &private 0xe0000000 0x100000>;
		cpu@0 { device_type = "cpu"; reg = <0>; };
	};
	ddr: memory@80000000 {
		device_type = "memory";
		reg = <0x80000000 0x10000000>;
	};
	tcm: sram@10000000 {
		compatible = "mmio-sram";
		reg = <0x10000000 0x10000>;
	};
	reserved-memory {
		#address-cells = <1>;
		#size-cells = <1>;
		ranges;
		image: image@88000000 { reg = <0x88000000 0x100000>; no-map; };
		vring0: vring0@88100000 { reg = <0x88100000 0x3000>; no-map; };
		vring1: vring1@88103000 { reg = <0x88103000 0x3000>; no-map; };
		buffer: buffer@88106000 { reg = <0x88106000 0x40000>; no-map; };
	};
	gic: interrupt-controller@50000000 {
		compatible = "arm,gic-400";
		interrupt-controller;
		#interrupt-cells = <3>;
		#address-cells = <0>;
		reg = <0x50000000 0x1000>;
	};
	private: private-bus {
		compatible = "indirect-bus";
		#address-cells = <1>;
		#size-cells = <1>;
		nvic: interrupt-controller@e0000000 {
			compatible = "arm,v7m-nvic";
			interrupt-controller;
			#interrupt-cells = <3>;
			#address-cells = <0>;
			reg = <0xe0000000 0x1000>;
		};
	};
	clk: clock { compatible = "fixed-clock"; #clock-cells = <0>; };
	soc: soc {
		compatible = "simple-bus";
		#address-cells = <1>;
		#size-cells = <1>;
		ranges;
		#interrupt-cells = <3>;
		interrupt-map-mask = <0 0 0>;
		interrupt-map = <0 0 0 &gic 0 0 0>, <0 0 0 &nvic 0 0 0>;
		interrupt-parent = <&soc>;
		uart0: serial@40000000 { reg = <0x40000000 0x1000>; interrupts = <0 1 4>; clocks = <&clk>; };
		uart1: serial@40001000 { reg = <0x40001000 0x1000>; interrupts = <0 2 4>; clocks = <&clk>; };
		mbox_a: mailbox@40002000 { reg = <0x40002000 0x1000>; interrupts = <0 3 4>; #mbox-cells = <1>; };
		mbox_m: mailbox@40003000 { reg = <0x40003000 0x1000>; interrupts = <0 4 4>; #mbox-cells = <1>; };
	};
	domains {
		linux: linux {
			compatible = "openamp,domain-v1";
			#address-cells = <1>;
			#size-cells = <1>;
			id = <0>;
			os,type = "linux";
			cpus = <&cpus_a 0x3 0x1>;
			memory = <0x80000000 0x8000000>;
			reserved-memory = <&image &vring0 &vring1 &buffer>;
			#access-flags-cells = <1>;
			access = <&uart0 0>, <&mbox_a 0>;
			domain-to-domain {
				compatible = "openamp,domain-to-domain-v1";
				rproc { compatible = "openamp,remoteproc-v2"; remote = <&rtos>; elfload = <&tcm &image>; };
				rpmsg {
					compatible = "openamp,rpmsg-v1";
					remote = <&rtos>;
					mbox = <&mbox_a 0>;
					carveouts = <&vring0 &vring1 &buffer>;
				};
			};
		};
		rtos: rtos {
			compatible = "openamp,domain-v1";
			#address-cells = <1>;
			#size-cells = <1>;
			id = <1>;
			os,type = "baremetal";
			cpus = <&cpus_m 0x1 0x0>;
			memory = <0x89000000 0x100000>;
			sram = <0x10000000 0x10000>;
			reserved-memory = <&image &vring0 &vring1 &buffer>;
			#access-flags-cells = <1>;
			access = <&uart1 0>, <&mbox_m 0>;
			domain-to-domain {
				compatible = "openamp,domain-to-domain-v1";
				rpmsg {
					compatible = "openamp,rpmsg-v1";
					host = <&linux>;
					mbox = <&mbox_m 0>;
					carveouts = <&vring0 &vring1 &buffer>;
				};
			};
		};
	};
};
"#;

#[test]
fn the_base_has_no_fault() {
    let loaded = from_text("chip.dts", BASE);
    let found = check::check(&loaded.tree);
    assert!(
        loaded.diags.list.is_empty() && found.list.is_empty(),
        "{}{}",
        loaded.render(false),
        found.render(&loaded.sources, false)
    );
}

/// Name, what is replaced by what, the code that must be among the findings.
const FAULTS: [(&str, &str, &str, Code); 35] = [
    (
        "reg_length",
        "reg = <0x40000000 0x1000>; interrupts = <0 1 4>",
        "reg = <0x40000000>; interrupts = <0 1 4>",
        Code::Cells,
    ),
    ("interrupt_length", "interrupts = <0 1 4>", "interrupts = <0 1>", Code::Cells),
    ("ranges_length", "\t\tranges;\n\t\t#interrupt-cells", "\t\tranges = <0 0>;\n\t\t#interrupt-cells", Code::Cells),
    ("mailbox_cells", "#clock-cells = <0>", "#clock-cells = <1>", Code::Cells),
    ("no_clock_provider", "#clock-cells = <0>; };", "};", Code::Cells),
    ("unit_address", "serial@40000000", "serial@40000100", Code::UnitAddress),
    (
        "dangling_phandle",
        "interrupts = <0 1 4>; clocks = <&clk>",
        "interrupts = <0 1 4>; clocks = <0x77>",
        Code::DanglingPhandle,
    ),
    (
        "address_map_length",
        "<0xe0000000 &private 0xe0000000 0x100000>",
        "<0xe0000000 &private 0xe0000000>",
        Code::Cells,
    ),
    ("memory_length", "memory = <0x80000000 0x8000000>", "memory = <0x80000000>", Code::DomainProperty),
    ("cpus_length", "cpus = <&cpus_a 0x3 0x1>", "cpus = <&cpus_a 0x3>", Code::DomainProperty),
    ("no_cpus", "cpus = <&cpus_a 0x3 0x1>;", "", Code::UnknownCluster),
    ("no_cluster", "cpus = <&cpus_a 0x3 0x1>", "cpus = <&uart0 0x3 0x1>", Code::UnknownCluster),
    ("cpu_beyond_the_cluster", "cpus = <&cpus_a 0x3 0x1>", "cpus = <&cpus_a 0x7 0x1>", Code::UnknownCpu),
    ("cpu_of_both", "cpus = <&cpus_m 0x1 0x0>", "cpus = <&cpus_a 0x2 0x1>", Code::CpuShared),
    ("same_id", "id = <1>", "id = <0>", Code::DuplicateId),
    ("unknown_flag", "access = <&uart0 0>", "access = <&uart0 2>", Code::Flags),
    ("unknown_os", "os,type = \"baremetal\"", "os,type = \"plan9\"", Code::DomainProperty),
    (
        "memory_that_is_not_there",
        "memory = <0x80000000 0x8000000>",
        "memory = <0x80000000 0x18000000>",
        Code::OutsideMemory,
    ),
    ("memory_of_both", "memory = <0x89000000 0x100000>", "memory = <0x87f00000 0x200000>", Code::MemoryShared),
    (
        "memory_unreachable",
        "<0x20000000 &ddr 0x80000000 0x10000000>",
        "<0x20000000 &ddr 0x80000000 0x1000>",
        Code::Unreachable,
    ),
    ("device_of_both", "access = <&uart1 0>", "access = <&uart0 1>", Code::DeviceShared),
    ("device_twice", "access = <&uart1 0>", "access = <&uart1 0>, <&uart1 0>", Code::DeviceShared),
    (
        "device_unreachable",
        "<0x40000000 &soc 0x40000000 0x100000>",
        "<0x40002000 &soc 0x40002000 0x2000>",
        Code::Unreachable,
    ),
    ("device_not_mapped", "access = <&uart1 0>", "access = <&gic 0>", Code::Unreachable),
    ("interrupt_elsewhere", "<0 0 0 &gic 0 0 0>, <0 0 0 &nvic 0 0 0>", "<0 0 0 &gic 0 0 0>", Code::Interrupt),
    ("carveouts_overlap", "reg = <0x88103000 0x3000>", "reg = <0x88102000 0x3000>", Code::CarveoutOverlap),
    (
        "carveout_outside",
        "buffer@88106000 { reg = <0x88106000 0x40000>",
        "buffer@a0000000 { reg = <0xa0000000 0x40000>",
        Code::CarveoutOutside,
    ),
    (
        "carveout_not_named",
        "reserved-memory = <&image &vring0 &vring1 &buffer>;\n\t\t\t#access-flags-cells = <1>;\n\t\t\taccess = <&uart1",
        "reserved-memory = <&image &vring0 &vring1>;\n\t\t\t#access-flags-cells = <1>;\n\t\t\taccess = <&uart1",
        Code::CarveoutNotGranted,
    ),
    (
        "vring_too_small",
        "vring1@88103000 { reg = <0x88103000 0x3000>",
        "vring1@88103000 { reg = <0x88103000 0x2000>",
        Code::Vring,
    ),
    (
        "vring_not_aligned",
        "vring1@88103000 { reg = <0x88103000 0x3000>",
        "vring1@88103010 { reg = <0x88103010 0x2ff0>",
        Code::Vring,
    ),
    (
        "vrings_of_different_length",
        "host = <&linux>;\n",
        "host = <&linux>;\n\t\t\t\t\tvring-num = <128>;\n",
        Code::Vring,
    ),
    ("mailbox_of_the_other", "mbox = <&mbox_a 0>", "mbox = <&mbox_m 0>", Code::Mailbox),
    ("relation_to_no_domain", "host = <&linux>", "host = <&uart0>", Code::Relation),
    (
        "relation_without_answer",
        "compatible = \"openamp,rpmsg-v1\";\n\t\t\t\t\thost",
        "compatible = \"libmetal,ipc-v1\";\n\t\t\t\t\thost",
        Code::Relation,
    ),
    (
        "unknown_relation",
        "compatible = \"openamp,remoteproc-v2\"",
        "compatible = \"openamp,remoteproc-v9\"",
        Code::Relation,
    ),
];

#[test]
fn each_fault_is_found_with_its_places() {
    for (name, from, to, code) in FAULTS {
        assert!(BASE.contains(from), "{name}: the base has no {from:?}");
        let loaded = from_text("chip.dts", &BASE.replacen(from, to, 1));
        assert!(loaded.diags.list.is_empty(), "{name}: {}", loaded.render(false));
        let found = check::check(&loaded.tree);
        assert!(
            found.list.iter().any(|d| d.code == code),
            "{name}: no {code:?} in\n{}",
            found.render(&loaded.sources, false)
        );
        insta::assert_snapshot!(name, found.render(&loaded.sources, false));
    }
}

#[test]
fn both_flags_allow_sharing_and_one_does_not() {
    let both = BASE.replacen("access = <&uart0 0>", "access = <&uart0 1>", 1).replacen(
        "access = <&uart1 0>",
        "access = <&uart0 1>",
        1,
    );
    assert!(check::check(&from_text("chip.dts", &both).tree).list.is_empty());
    let one = both.replacen("access = <&uart0 1>", "access = <&uart0 0>", 1);
    let found = check::check(&from_text("chip.dts", &one).tree);
    assert_eq!(found.list.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::DeviceShared]);
}

#[test]
fn inner_domains_have_no_more_than_the_outer() {
    let inner = "\t\t\tguest {\n\t\t\t\tcompatible = \"openamp,domain-v1\";\n\t\t\t\tcpus = <&cpus_a 0x1 0x1>;\n\t\t\t\tmemory = <0x88800000 0x100000>;\n\t\t\t\taccess = <&uart1>;\n\t\t\t};\n";
    let at = BASE.find("\t\t\tdomain-to-domain").expect("there is one");
    let text = format!("{}{inner}{}", &BASE[..at], &BASE[at..]);
    let loaded = from_text("chip.dts", &text);
    let found = check::check(&loaded.tree);
    assert!(
        found.list.iter().filter(|d| d.code == Code::Nesting).count() == 2,
        "{}",
        found.render(&loaded.sources, false)
    );
    insta::assert_snapshot!("nesting", found.render(&loaded.sources, false));
}

#[test]
fn the_json_form_names_file_line_and_path() {
    let loaded = from_text("chip.dts", &BASE.replacen("access = <&uart1 0>", "access = <&uart0 0>", 1));
    insta::assert_json_snapshot!(check::check(&loaded.tree).to_json(&loaded.sources));
}
