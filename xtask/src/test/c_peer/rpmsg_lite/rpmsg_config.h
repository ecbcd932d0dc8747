/* rpmsg-lite, as the peer in `../rpmsg_lite.c` wants it. */
#include "../layout.h"
#define RL_BUFFER_PAYLOAD_SIZE (BUFFER - 16)
#define RL_BUFFER_COUNT ENTRIES
/* Read where a time-out would otherwise be waited for. */
#define RL_MS_PER_INTERVAL 1
