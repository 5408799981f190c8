/* supervisor: what its files share.  One struct, one thread, one loop.
 *
 * It starts, wires, restarts, reloads, binds ports, opens files by enumerated name and collects the
 * children's log.  It parses the configuration, and nothing that comes from the network. */
#ifndef PICKET_PROC_SUPERVISOR_H
#define PICKET_PROC_SUPERVISOR_H

#include <sys/types.h>

#include "base/log.h"
#include "conf/conf.h"
#include "ipc/ipc.h"
#include "proc/look.h"
#include "rights/rights.h"

enum { SUP_SHARDS_MAX = 64, SUP_LINE_MAX = 2048 };

struct sup_options {
	const char *config;	 /* NULL: the default path, which may be missing */
	const char *state, *run; /* NULL: from the configuration */
	bool foreground, check;
	u32 landlock_abi; /* tests: hold the children to it; 0: no */
};

/* Lines that a child writes, put together. */
struct linebuf {
	int fd; /* -1: closed */
	size_t n;
	bool cut; /* the rest of an overlong line is dropped */
	char b[SUP_LINE_MAX];
};

struct sup_child {
	pid_t pid; /* 0: not running */
	uid_t uid;
	gid_t gid;
	struct ipc_link *link;
	bool wants_write, ready, asked; /* asked: CONFIG_DONE is awaited */
	u32 restarts, seccomp, landlock_abi;
	u32 backoff_ms;
	u64 started_ms, restart_at_ms; /* 0: no restart planned */
	u64 lost_ms;		       /* it lives and its link is closed, since then; 0: no */
	struct linebuf lines;
};

/* The sockets of one listener; the address is what they are bound to. */
struct sup_listener {
	char address[108];
	char interface[16];
	u16 port;		/* 0: a unix socket at address, which has fd[0] alone */
	bool away;		/* bound to an address that was not there */
	bool told;		/* that its interface is there and cannot be used */
	int fd[SUP_SHARDS_MAX]; /* -1 from nshards on, and while there is no such interface */
};
struct sup_listeners {
	u32 n;
	struct sup_listener v[CONF_LISTENERS];
};

enum store_phase {
	STORE_UNSEEN, /* since broker ended */
	STORE_CHECKING,
	STORE_SALVAGING, /* what can be read of it goes into a new one */
	STORE_SOUND,
	STORE_LOST, /* it cannot be used and cannot be moved */
};
/* A backup on its way into the store's place. */
enum restore_phase {
	RESTORE_NONE,
	RESTORE_WRITING,  /* admin writes it */
	RESTORE_CHECKING, /* the same look as after an end out of order */
	RESTORE_STOPPING, /* broker ends */
	RESTORE_STARTING, /* broker begins with it */
};
struct sup_restore {
	enum restore_phase phase;
	int fd;		 /* its file; -1 */
	u64 id;		 /* of the SUP_CALL that waits */
	u64 stop_by_ms;	 /* else it is killed; 0: it is not being stopped */
	char before[64]; /* where the store stands that it replaces */
};
struct sup_store {
	enum store_phase phase;
	struct sup_restore restore;
	u64 epoch, epoch_min; /* of the last one that was served; of the next */
	int dir;	      /* STATE/store; -1: nothing is durable */
	int key;	      /* memory of keys, for broker; -1: it has not come */
	bool wanted;	      /* broker waits for the key */
	bool suspect;	      /* what broker said, or died of, blames it */
	bool doubtful;	      /* broker crashed: the next look leaves nothing out */
	struct look look;     /* what the last process that read it has found */
	int result;	      /* where that writes; -1 */
	const char *why;      /* why it is salvaged */
	bool anew;	      /* it has been begun anew for that, and broker has not served since */
	bool serving, served; /* broker does; the last one did */
	u32 crashes;	      /* of brokers in a row that did not come to serve */
	char trouble[256];    /* what happened to it last; "": nothing */
};

enum sup_phase { PH_STARTING, PH_CANARY, PH_SERVING, PH_OFFERED, PH_RELOAD_CANARY, PH_STOPPING };

struct sup {
	struct sup_options opt;
	struct conf conf, next; /* next: while a reload runs */
	struct sup_listeners listeners, next_listeners;
	u32 nshards;
	pid_t pid; /* our own: children end when it is their parent no more */
	u64 generation;
	enum sup_phase phase;
	u64 phase_deadline_ms;
	bool root, first_start, quit, filtered;
	int code;
	int epoll, signals, lock, state, run, keys, auth, admin_socket,
		notify;		  /* notify: to the parent, or -1 */
	int temp[FILE_N];	  /* unfinished new files of keys */
	struct policy_doc *first; /* the first policy, while picketd starts; or NULL */
	struct sup_child child[ROLE_N];
	u64 started_ms, started_wall_ms, watchdog_ms, watchdog_at_ms;
	u64 look_at_ms;	   /* for interfaces */
	bool reload_again; /* SIGHUP came while there was no time for it */
	u64 reload_id;	   /* of the SUP_CALL that asked, 0: SIGHUP */
	bool canary_ok;
	char canary[256];
	struct sup_store store;
	char why[1024]; /* why the last reload was refused */
	struct {
		int dir, file; /* -1: not open yet */
		u64 size;
	} log;
};

/* ---- supervisor_log.c: one line to the log file and, unless detached, to our own stderr ---- */
bool sup_log_open(struct sup *s);
void sup_log_bytes(struct sup *s, const char *line, size_t n);
void sup_say(struct sup *s, enum log_level level, const char *event, const char *fmt, ...)
	PRINTF(4, 5);
/* Reads what there is; false when the writer is gone. */
bool linebuf_read(struct sup *s, struct linebuf *l);

/* ---- supervisor_state.c: folders, users, privileges ---- */
/* Each returns false after saying why and what to do. */
bool sup_users(struct sup *s);
bool sup_folders(struct sup *s);
/* A folder inside the state folder, made if need be, 0700 and of this user; -1. */
int sup_folder(struct sup *s, const char *name, uid_t uid, gid_t gid);
bool sup_limits(struct sup *s);
bool sup_drop_privileges(struct sup *s);

/* ---- supervisor_socket.c: where the picket command comes in ---- */
bool sup_admin_socket(struct sup *s);

/* ---- supervisor_listen.c ---- */
/* Sockets for every listener of c; those that have (NULL: none) already holds are used again. */
bool sockets_open(struct sup *s, const struct conf *c, const struct sup_listeners *have,
		  struct sup_listeners *out);
/* Close those that other does not share. */
void sockets_close(struct sup_listeners *l, const struct sup_listeners *other);
/* Hand all to broker. */
void sockets_give(struct sup *s);
/* Interfaces come and go: open what can be opened now and hand it to broker.  Cheap where no
 * listener names one. */
void sockets_look(struct sup *s);
/* When to look again; UINT64_MAX: no listener names an interface. */
u64 sockets_look_at(const struct sup *s);

/* ---- supervisor_local.c: unix sockets of listeners ---- */
/* The socket of l, or -1 with s->why. */
int local_open(struct sup *s, const struct conf *c, const struct conf_listener *l);
/* Its file has mode and group of l. */
bool local_rights(struct sup *s, const struct conf *c, const struct conf_listener *l);
void local_remove(const char *path);

/* ---- supervisor_child.c ---- */
void child_spawn(struct sup *s, enum role role);
/* The descriptors that a process finds from SANDBOX_SUP_FD on; borrowed. */
enum { HANDED_MAX = 5 };
struct handed {
	u32 n;
	int fd[HANDED_MAX];
};
/* False: errno says why. */
bool child_fork(struct sup *s, enum role role, const struct handed *h);
void child_died(struct sup *s, enum role role, int status);
void child_kill(struct sup *s, enum role role, const char *why);
void sup_send(struct sup *s, enum role to, enum ipc_type type, u64 id, const void *body,
	      struct slice tail, int fd);
bool sup_send_config(struct sup *s, enum role to, const struct conf *c, bool reload);

/* ---- supervisor_store.c ---- */
bool store_folder(struct sup *s);
/* May broker be started?  If not, it is when what has begun now has come to its end. */
bool store_ready(struct sup *s);
/* True: it is started anew, also during the start of picketd. */
bool store_broker_died(struct sup *s, int status);
void store_serving(struct sup *s, const struct m_serving *m);
void store_key_came(struct sup *s, struct ipc_msg *m);
/* Is it sealed with a key of keys that has not come yet? */
bool store_keyless(const struct sup *s);
/* The folder of a store that is to be; empty, broker's; -1. */
int store_fresh(struct sup *s);
void store_fresh_remove(struct sup *s);
/* The store's folder gets a name of its own that begins so (which is in name); the fresh one takes
 * its place, or, STORE_EMPTY, one with nothing in it.  E_IO: errno says why, and all is as it was.
 */
enum store_next { STORE_EMPTY, STORE_FRESH };
enum err store_swap(struct sup *s, const char *prefix, enum store_next next, char *name,
		    size_t cap) MUST;
/* Take the store away and put the folder of that name back in its place. */
bool store_put_back(struct sup *s, const char *name);
/* Broker is started now, or when what it waits for has come. */
void store_go_on(struct sup *s, enum store_phase phase);

/* ---- supervisor_look.c ---- */
/* Set the store aside for that reason, saving what can be read of it if it is worth a try; the
 * phase that this begins. */
enum store_rescue { RESCUE_NOTHING, RESCUE_WHAT_CAN_BE_READ };
enum store_phase store_aside(struct sup *s, const char *why, enum store_rescue rescue);
/* Look at the store; the phase that this begins. */
enum store_phase store_look(struct sup *s);
/* A process that looks at the store in fd, at what no start reads for so long at most (0: at all
 * of it); false: it cannot be started, and the log says why. */
bool look_begin(struct sup *s, int fd, u32 within_ms);
/* One of those processes has ended. */
void look_ended(struct sup *s, enum role role, int status);
/* The key of keys has come. */
void look_key_came(struct sup *s);
/* What the end of a look means; NULL: it is sound. */
const char *look_verdict(int status);

/* ---- supervisor_restore.c ---- */
void restore_call(struct sup *s, u64 id, u32 op);
/* The look at it is over, broker has ended, broker serves; false: there is no restore that it has
 * to do with. */
bool restore_checked(struct sup *s, int status);
bool restore_broker_died(struct sup *s);
void restore_serving(struct sup *s);
void restore_timer(struct sup *s, u64 now_ms);
/* Who wrote it is gone, or picketd stops: all stays as it is. */
void restore_drop(struct sup *s);
/* Said in the log, to who watches, and by picket status. */
void sup_alarm(struct sup *s, const char *fmt, ...) PRINTF(2, 3);

/* ---- supervisor_files.c ---- */
/* The key of the store, to broker, when there is one. */
void files_give_store_key(struct sup *s);
/* The same as a descriptor of the caller's own; -1: it cannot be had, or none is needed. */
int files_store_key(struct sup *s);
/* The files that auth is given at start. */
void files_give_auth(struct sup *s);
void files_get(struct sup *s, enum role from, const struct ipc_msg *m);
void files_commit(struct sup *s, enum role from, const struct ipc_msg *m);
void files_forget(struct sup *s);  /* unfinished ones, when keys is gone */
void files_started(struct sup *s); /* what only a start needs is no longer kept */
/* What can be known to be wrong before anything starts; false after saying it. */
bool files_check(struct sup *s, const struct conf *c);

/* ---- supervisor_reload.c: configuration, canary, calls ---- */
bool sup_conf_load(const struct sup_options *opt, bool root, struct conf *c,
		   struct conf_error *err);
void sup_reload(struct sup *s, u64 id);
void sup_config_done(struct sup *s, enum role from, const struct ipc_msg *m);
void sup_config_timeout(struct sup *s);
void sup_canary_begin(struct sup *s);
void sup_canary_done(struct sup *s, int status);
void sup_call(struct sup *s, const struct ipc_msg *m);

/* ---- supervisor.c ---- */
int supervisor_main(const struct sup_options *opt);
void sup_fail(struct sup *s);  /* stop everything, exit 1 */
void sup_ready(struct sup *s); /* all is up and tested */
/* The start may take so much longer from now on; 0: as long as usual. */
void sup_patience(struct sup *s, u64 ms);
void sup_watch(struct sup *s, int fd, u32 kind, enum role role, u32 events, bool known);
enum { WATCH_SIGNAL, WATCH_LINK, WATCH_LINES };

/* ---- canary.c ---- */
enum { CANARY_REFUSED = 0, CANARY_NOT_REFUSED = 1, CANARY_NO_ANSWER = 2 };
/* The process: conf_fd is a sealed memfd of struct conf.  Returns one of the above. */
int canary_main(int conf_fd);

#endif
