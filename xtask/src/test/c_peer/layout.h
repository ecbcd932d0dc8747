#pragma once
/* How the memory is laid out, and what descriptors call it; as in `crates/amp/host/tests/c_peer/script.rs`. */
#define DEVICE 0x3ed00000u
#define BYTES 0x10000u
#define ENTRIES 8
#define RING_ALIGN 16
#define RING_BYTES 0x400u
#define BUFFER 512
