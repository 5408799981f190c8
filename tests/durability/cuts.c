/* cuts: cuts the power at every write and sync that disk.c recorded, and looks at what is left.
 *
 *     durability_cuts LOG TIMELINE FILE DIR SUBSETS SEED
 *
 * FILE is the number of the store's file in the log, DIR an empty folder (of a memory file system).
 * After each write: everything up to the last sync and the writes since then in their order.
 * Moreover SUBSETS times: any of the writes since the last sync, page by page, some of them torn at
 * a sector.  Each time the store is opened as picketd opens it and has to hold what TIMELINE (see
 * timeline.py) says that it must, and nothing that it must not.
 *
 * Prints one line of JSON; before it a line for each of the first violations. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "look.h"

enum { PAGE = 4096, SECTOR = 512, SHOW = 20, IMAGE_MOST = 1 << 30 };

struct line { /* of the timeline */
	uint64_t place, key;
	uint32_t op, unused;
};
struct piece { /* of a write, within one page */
	uint64_t off, place;
	const uint8_t *p;
	uint32_t n;
};
struct image {
	uint8_t *p;
	size_t n;
};

struct cuts {
	const uint8_t *log;
	uint64_t log_end, file;
	const struct line *line;
	size_t nlines, next_line;
	struct keys must, must_not; /* of the moment */
	struct keys was, was_not;   /* in force for a part of this window only */
	struct image synced, now, trial;
	struct piece *pending;
	size_t npending, cap_pending;
	uint64_t wanted_subsets, open_windows, seen_windows, done_subsets, random;
	struct look look;
	uint64_t prefixes, subsets, writes, syncs, violations, keys_checked;
	int fd;
};

static uint64_t random_u64(struct cuts *c) /* splitmix64 */
{
	uint64_t z = c->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* ---- images -------------------------------------------------------------------------- */
static void image_put(struct image *i, uint64_t off, const uint8_t *p, size_t n)
{
	if (off + n > IMAGE_MOST) {
		fprintf(stderr, "the store is larger than this program can hold\n");
		exit(2);
	}
	memcpy(i->p + off, p, n);
	if (off + n > i->n)
		i->n = off + n;
}

static void image_write(const struct image *i, int fd)
{
	if (ftruncate(fd, (off_t)i->n) != 0 || pwrite(fd, i->p, i->n, 0) != (ssize_t)i->n) {
		perror("image");
		exit(2);
	}
}

/* ---- judging one cut ------------------------------------------------------------------ */
static void accuse(struct cuts *c, const char *what, uint64_t key, uint64_t place)
{
	if (c->violations++ < SHOW)
		printf("violation %s %016llx place %llu pending %zu cut %llu\n", what,
		       (unsigned long long)key, (unsigned long long)place, c->npending,
		       (unsigned long long)(c->prefixes + c->subsets));
}

static void must_hold(struct cuts *c, const struct keys *k, uint64_t place)
{
	for (size_t i = keys_next(k, 0); i != KEYS_END; i = keys_next(k, i + 1)) {
		c->keys_checked++;
		if (!keys_has(&c->look.found, keys_at(k, i)))
			accuse(c, "missing", keys_at(k, i), place);
	}
}

static void must_lack(struct cuts *c, const struct keys *k, uint64_t place)
{
	for (size_t i = keys_next(&c->look.found, 0); i != KEYS_END;
	     i = keys_next(&c->look.found, i + 1)) {
		if (keys_has(k, keys_at(&c->look.found, i)))
			accuse(c, "forbidden", keys_at(&c->look.found, i), place);
	}
}

/* A store that cannot even be opened without dying. */
static void died(int sig)
{
	static const char text[] = "violation died at a cut\n";

	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(3);
	_exit(1);
}

static void watch_for_death(void)
{
	static const int sigs[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		signal(sigs[i], died);
}

static void judge(struct cuts *c, const struct image *i, uint64_t place)
{
	bool opened;

	image_write(i, c->fd);
	opened = look(&c->look);
	if (!opened && c->must.n + c->was.n == 0)
		return; /* nothing had been promised */
	if (!opened) {
		accuse(c, c->look.text, 0, place);
		return;
	}
	if (c->look.bad != 0)
		accuse(c, "damaged", c->look.bad, place);
	must_hold(c, &c->must, place);
	must_hold(c, &c->was, place);
	must_lack(c, &c->must_not, place);
	must_lack(c, &c->was_not, place);
}

/* ---- a window: the time between two changes of the disk -------------------------------- */
static void promises_until(struct cuts *c, uint64_t place)
{
	for (; c->next_line < c->nlines && c->line[c->next_line].place < place; c->next_line++) {
		uint64_t key = c->line[c->next_line].key;
		switch (c->line[c->next_line].op) {
		case LOOK_MUST:
			keys_add(&c->must, key);
			break;
		case LOOK_NEED_NOT:
			if (keys_remove(&c->must, key))
				keys_add(&c->was, key);
			break;
		case LOOK_MUST_NOT:
			keys_add(&c->must_not, key);
			break;
		default:
			if (keys_remove(&c->must_not, key))
				keys_add(&c->was_not, key);
		}
	}
}

static void subset(struct cuts *c, uint64_t place)
{
	uint64_t chance = 1 + random_u64(c) % 7; /* of 8 */
	bool tear = random_u64(c) % 4 == 0;

	memcpy(c->trial.p, c->synced.p, c->synced.n);
	c->trial.n = c->synced.n;
	for (size_t i = 0; i < c->npending; i++) {
		const struct piece *p = &c->pending[i];
		uint32_t n = p->n;
		if (random_u64(c) % 8 >= chance)
			continue;
		if (tear && random_u64(c) % 4 == 0)
			n = (uint32_t)(random_u64(c) % (n / SECTOR + 1)) * SECTOR;
		if (c->trial.n < p->off) /* a hole reads as zeros */
			memset(c->trial.p + c->trial.n, 0, p->off - c->trial.n);
		image_put(&c->trial, p->off, p->p, n);
	}
	c->subsets++;
	judge(c, &c->trial, place);
}

static void window_ends(struct cuts *c, uint64_t place)
{
	promises_until(c, place);
	c->prefixes++;
	judge(c, &c->now, place);
	if (c->npending > 1) {
		c->seen_windows++;
		while (c->done_subsets < c->wanted_subsets &&
		       c->done_subsets * c->open_windows < c->wanted_subsets * c->seen_windows) {
			c->done_subsets++;
			subset(c, place);
		}
	}
	keys_clear(&c->was);
	keys_clear(&c->was_not);
}

/* ---- the log -------------------------------------------------------------------------- */
static void pend(struct cuts *c, uint64_t off, const uint8_t *p, uint32_t n, uint64_t place)
{
	while (n > 0) {
		uint32_t part = PAGE - (uint32_t)(off % PAGE);
		part = part < n ? part : n;
		if (c->npending == c->cap_pending) {
			c->cap_pending = c->cap_pending * 2 + 64;
			c->pending = realloc(c->pending, c->cap_pending * sizeof(*c->pending));
			if (c->pending == NULL)
				abort();
		}
		c->pending[c->npending++] = (struct piece){off, place, p, part};
		off += part;
		p += part;
		n -= part;
	}
}

/* Those of one write, or all (place 0), are on the disk for good. */
static void synced(struct cuts *c, uint64_t place)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->npending; i++) {
		const struct piece p = c->pending[i];
		if (place != 0 && p.place != place)
			c->pending[kept++] = p;
		else
			image_put(&c->synced, p.off, p.p, p.n);
	}
	c->npending = kept;
}

static void entry(struct cuts *c, uint64_t place, const struct disk_entry *e)
{
	const uint8_t *bytes = (const uint8_t *)(e + 1);

	if (e->kind < DISK_WRITE || e->kind > DISK_TRUNCATE || e->who != c->file)
		return;
	window_ends(c, place);
	if (e->kind == DISK_WRITE) {
		c->writes++;
		pend(c, e->off, bytes, e->len, place);
		image_put(&c->now, e->off, bytes, e->len);
	} else if (e->kind == DISK_TRUNCATE) {
		fprintf(stderr, "the store's file was truncated: not thought of here\n");
		exit(2);
	} else {
		c->syncs += e->kind == DISK_SYNC;
		synced(c, e->kind == DISK_SYNC ? 0 : e->off);
	}
}

static void each_entry(struct cuts *c,
		       void (*f)(struct cuts *c, uint64_t, const struct disk_entry *))
{
	uint64_t at = DISK_LOG_HEAD;

	while (at < c->log_end) {
		const struct disk_entry *e = (const struct disk_entry *)(const void *)(c->log + at);
		f(c, at, e);
		at += (sizeof(*e) + e->len + 7) & ~7ull;
	}
}

/* How many windows have something to choose from, for spreading the subsets over them. */
static void count(struct cuts *c, uint64_t place, const struct disk_entry *e)
{
	if (e->kind < DISK_WRITE || e->kind > DISK_SYNC || e->who != c->file)
		return;
	c->open_windows += c->npending > 1;
	if (e->kind == DISK_WRITE)
		pend(c, e->off, NULL, e->len, place);
	else if (e->kind == DISK_SYNC)
		c->npending = 0;
	else
		while (c->npending > 0 && c->pending[c->npending - 1].place == e->off)
			c->npending--;
}

static const void *map(const char *path, size_t *n)
{
	struct stat st;
	void *p;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) != 0) {
		perror(path);
		exit(2);
	}
	*n = (size_t)st.st_size;
	p = *n != 0 ? mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	if (p == MAP_FAILED)
		abort();
	close(fd);
	return p;
}

static struct image image_new(void)
{
	struct image i = {mmap(NULL, IMAGE_MOST, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
			  0};

	if (i.p == MAP_FAILED)
		abort();
	return i;
}

int main(int argc, char **argv)
{
	static struct cuts c;
	char path[512];
	size_t n;

	if (argc != 7)
		return 2;
	c.log = map(argv[1], &n);
	c.log_end = DISK_LOG_HEAD + *(const uint64_t *)(const void *)c.log;
	c.line = map(argv[2], &n);
	c.nlines = n / sizeof(*c.line);
	c.file = strtoull(argv[3], NULL, 10);
	c.wanted_subsets = strtoull(argv[5], NULL, 10);
	c.random = strtoull(argv[6], NULL, 10);
	c.synced = image_new();
	c.now = image_new();
	c.trial = image_new();
	snprintf(path, sizeof(path), "%s/" LOOK_FILE, argv[4]);
	c.fd = open(path, O_RDWR | O_CREAT, 0600);
	if (c.fd < 0 || !look_start(&c.look, argv[4])) {
		perror(path);
		return 2;
	}
	watch_for_death();
	each_entry(&c, count);
	c.npending = 0;
	each_entry(&c, entry);
	window_ends(&c, UINT64_MAX);
	printf("{\"writes\": %llu, \"syncs\": %llu, \"prefixes\": %llu, \"subsets\": %llu, "
	       "\"promises\": %zu, \"looked at\": %llu, \"violations\": %llu}\n",
	       (unsigned long long)c.writes, (unsigned long long)c.syncs,
	       (unsigned long long)c.prefixes, (unsigned long long)c.subsets, c.nlines,
	       (unsigned long long)c.keys_checked, (unsigned long long)c.violations);
	return c.violations != 0;
}
