/* broker: the process that meets the network.
 *
 * Its main thread owns every link to the other processes; each shard is a thread with a loop of net
 * and a core. Sees no private key and no password hash; opens, connects and executes nothing after
 * start. */
#ifndef PICKET_PROC_BROKER_H
#define PICKET_PROC_BROKER_H

#include "ipc/child.h"

/* The exit code that blames the store: damaged, foreign, of a later release. */
enum { BROKER_STORE_DAMAGED = 3 };

/* Serves until the supervisor says stop or is gone; returns the exit code. */
int broker_main(int sup_fd, bool (*enter_sandbox)(enum role me, struct m_ready *ready));

#endif
