// The resident stub of core 1: see park.rs, which says where the devices are (braces are doubled for Rust). Words of PARK_CONTROL, by
// their offset:
//   0 state (1 parked, 2 running)   4 go (a generation)   8 stack pointer   12 entry
//   16 exception number             20 EXC_RETURN         24 CFSR  28 HFSR  32 MMFAR  36 BFAR
//   40 r0-r3   56 r4-r11   88 r12   92 sp   96 lr   100 pc   104 xpsr   108 whether 40-52 and 88-104 hold
    .syntax unified
    .section .text.park, "ax", %progbits

    // Out of reset, for the only time.
    .global park_reset
    .type park_reset, %function
    .thumb_func
park_reset:
    cpsid i
    ldr r0, =PARK_CONTROL
    movs r1, #0
    str r1, [r0, #16]
    b park_rest

    // Any fault, or the doorbell that says stop.
    .global park_taken
    .type park_taken, %function
    .thumb_func
park_taken:
    cpsid i
    ldr r0, =PARK_CONTROL
    mrs r1, ipsr
    str r1, [r0, #16]
    str lr, [r0, #20]
    add r1, r0, #56
    stmia r1, {{r4-r11}}
    ldr r4, =PARK_SCB + 0x28
    ldr r5, [r4]
    str r5, [r0, #24]
    ldr r5, [r4, #4]
    str r5, [r0, #28]
    ldr r5, [r4, #12]
    str r5, [r0, #32]
    ldr r5, [r4, #16]
    str r5, [r0, #36]
    movs r5, #0
    str r5, [r0, #108]
    // What was stacked, if the stack pointer points into this core's data (a fault here would be the last one), and above its
    // limit: an overflowing stack takes no frame.
    tst lr, #4
    ite eq
    mrseq r1, msp
    mrsne r1, psp
    ldr r5, =PARK_STACK_FROM
    cmp r1, r5
    blo 2f
    ldr r5, =PARK_STACK_TO - 104
    cmp r1, r5
    bhi 2f
    mrs r5, msplim
    cmp r1, r5
    bls 2f
    add r4, r0, #40
    ldmia r1, {{r5-r8}}
    stmia r4, {{r5-r8}}
    add r4, r1, #16
    ldmia r4, {{r5-r8}}
    str r5, [r0, #88]
    str r6, [r0, #96]
    str r7, [r0, #100]
    str r8, [r0, #104]
    // Where the stack was before: above the frame, the registers of floating point, and what aligned it.
    add r4, r1, #32
    tst lr, #16
    it eq
    addeq r4, r4, #72
    tst r8, #(1 << 9)
    it ne
    addne r4, r4, #4
    str r4, [r0, #92]
    movs r5, #1
    str r5, [r0, #108]
2:
    // The firmware's stack limits go, and so do its system handlers that were interrupted.
    movs r5, #0
    msr msplim, r5
    msr psplim, r5
    ldr r4, =PARK_SCB + 0x24
    ldr r5, [r4]
    bic r5, r5, #0xD80
    str r5, [r4]

    // Leave handler after handler until none is active: each return takes one off.
    .thumb_func
park_leave:
    mrs r2, ipsr
    ldr r4, =PARK_NVIC + 0x200
    movs r5, #0
3:
    ldr r6, [r4], #4
    sub r7, r2, #16
    subs r7, r7, r5
    cmp r7, #31
    bhi 4f
    movs r8, #1
    lsl r8, r8, r7
    bic r6, r6, r8
4:
    cbnz r6, 5f
    adds r5, #32
    cmp r5, #128
    blo 3b
    movs r7, #0
    ldr r3, =park_rest
    mvn lr, #6
    b 6f
5:
    rbit r6, r6
    clz r6, r6
    adds r7, r5, r6
    adds r7, #16
    ldr r3, =park_leave
    mvn lr, #14
6:
    ldr r1, =PARK_STACK + 256 - 32
    mov sp, r1
    bic r3, r3, #1
    str r3, [r1, #24]
    orr r7, r7, #0x01000000
    str r7, [r1, #28]
    bx lr

    // Here it rests, in thread mode, with nothing under way.
    .thumb_func
park_rest:
    movs r0, #0
    msr control, r0
    isb
    msr msplim, r0
    msr basepri, r0
    msr faultmask, r0
    ldr r1, =PARK_STACK + 256
    mov sp, r1
    ldr r1, =PARK_SYSTICK
    str r0, [r1]
    ldr r1, =PARK_SCB + 0x04
    ldr r2, =0x0A000000
    str r2, [r1]
    mvn r2, #0
    ldr r1, =PARK_NVIC + 0x80
    str r2, [r1]
    str r2, [r1, #4]
    str r2, [r1, #8]
    str r2, [r1, #12]
    // Both doorbells are taken back before what they left pending.
    movs r3, #15
    ldr r1, =PARK_MESSAGES + 0x18
    str r3, [r1]
    ldr r1, =PARK_BELL + 0x18
    str r3, [r1]
    dsb
    ldr r1, =PARK_NVIC + 0x180
    str r2, [r1]
    str r2, [r1, #4]
    str r2, [r1, #8]
    str r2, [r1, #12]
    ldr r1, =PARK_SCB + 0x28
    str r2, [r1]
    str r2, [r1, #4]
    ldr r1, =PARK_SCB + 0x08
    ldr r2, =PARK_VECTORS
    str r2, [r1]
    // The doorbell that says stop comes before everything else that a firmware may enable.
    ldr r1, =PARK_NVIC + 0x300
    ldr r2, =0x40404040
    movs r3, #32
7:
    str r2, [r1], #4
    subs r3, #1
    bne 7b
    ldr r1, =PARK_NVIC + 0x300 + PARK_INTERRUPT
    strb r0, [r1]
    ldr r1, =PARK_SCB + 0x1C
    str r2, [r1]
    str r2, [r1, #4]
    ldr r1, =PARK_NVIC + PARK_WORD
    ldr r2, =PARK_BIT
    str r2, [r1]
    // Say so, and wait for the word.
    ldr r4, =PARK_CONTROL
    dmb
    movs r2, #1
    str r2, [r4]
    dsb
    ldr r1, =PARK_BELL + 0x04
    str r2, [r1]
8:
    wfi
    movs r2, #15
    ldr r1, =PARK_BELL + 0x18
    str r2, [r1]
    dsb
    ldr r2, =PARK_BIT
    ldr r1, =PARK_NVIC + 0x180 + PARK_WORD
    str r2, [r1]
    ldr r2, [r4, #4]
    cmp r2, #0
    beq 8b
    dmb
    str r0, [r4, #4]
    ldr r1, [r4, #8]
    mov sp, r1
    ldr r1, [r4, #12]
    movs r2, #2
    str r2, [r4]
    dsb
    mvn lr, #0
    cpsie i
    isb
    bx r1
    .pool
