/* Nothing of this environment's own. */
#include "rpmsg_config.h"
