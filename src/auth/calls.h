/* calls: moved to where both sides of it may look (admin and the command may not include auth). */
#include "ipc/calls.h"
