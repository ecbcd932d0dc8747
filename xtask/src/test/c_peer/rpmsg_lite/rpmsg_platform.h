/* The platform: one link over the memory of `../layout.h`. */
#pragma once
#include <stdint.h>
#include "rpmsg_config.h"
#define VRING_ALIGN RING_ALIGN
#define VRING_SIZE RING_BYTES
#define RL_VRING_OVERHEAD (2 * VRING_SIZE)
#define RL_GET_VQ_ID(link, queue) (((queue) & 1u) | ((link) << 1))
#define RL_GET_LINK_ID(id) ((id) >> 1)
#define RL_GET_Q_ID(id) ((id) & 1u)
#define RL_PLATFORM_HIGHEST_LINK_ID 0u
int32_t platform_init_interrupt(uint32_t vector, void *data);
int32_t platform_deinit_interrupt(uint32_t vector);
void platform_notify(uint32_t vector);
