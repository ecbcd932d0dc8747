//! What the board's device tree gives the domain of each core, made by `build.rs` of `examples/devicetree/mps2-an521.dts` or
//! `mps2-an386.dts`, or of the tree that `TUTTI_AN521_TREE` or `TUTTI_AN386_TREE` names. Nothing else in this crate, and in the images on
//! it, names an address of the board.
//!
//! Both cores of an AN521 call everything that they share the same: the assertions hold the two domains against each other.

/// Core 0's.
pub mod core0 {
    include!(concat!(env!("OUT_DIR"), "/core0.rs"));
}

/// Core 1's.
#[cfg(feature = "an521")]
pub mod core1 {
    include!(concat!(env!("OUT_DIR"), "/core1.rs"));
}

#[cfg(feature = "an521")]
const _: () = {
    assert!(core0::RPMSG_CORE1_HOST && !core1::RPMSG_CORE0_HOST, "core 0 is the host");
    assert!(core0::RPMSG_CORE1_VRING0 == core1::RPMSG_CORE0_VRING0, "the cores see the first queue elsewhere");
    assert!(core0::RPMSG_CORE1_VRING1 == core1::RPMSG_CORE0_VRING1, "the cores see the second queue elsewhere");
    assert!(core0::RPMSG_CORE1_SHARED == core1::RPMSG_CORE0_SHARED, "the cores see the buffers elsewhere");
    assert!(core0::CORE1_WORDS_START == core1::CORE1_WORDS_START, "the cores see the shared words elsewhere");
    assert!(core0::CORE1_TRACE_START == core1::CORE1_TRACE_START, "the cores see the trace elsewhere");
    assert!(core0::RPMSG_CORE1_DOORBELL == core1::RPMSG_CORE0_DOORBELL, "the cores ring by different units");
    assert!(core0::MHU1_BASE == core1::MHU1_BASE && core0::MHU1_INTERRUPTS[0] == core1::MHU1_INTERRUPTS[0]);
    assert!(core0::SYSTICK_BASE == core1::SYSTICK_BASE && core0::NVIC0_BASE == core1::NVIC0_BASE);
    assert!(core0::SCB_BASE == core1::SCB_BASE && core0::CPU_IDENTITY_BASE == core1::CPU_IDENTITY_BASE);
    assert!(core0::SYSTICK_CLOCK_FREQUENCY == core1::SYSTICK_CLOCK_FREQUENCY, "the cores count time differently");
};
