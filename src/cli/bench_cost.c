/* bench_cost: CPU time and memory of a process and all its descendants, from /proc.  Linux only. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "cli/bench.h"

enum { TREE_MAX = 256 };

/* The parent of pid; 0 when it is gone. */
static u32 parent_of(u32 pid)
{
	char path[64], line[512];
	FILE *f;
	u32 parent = 0;

	(void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fgets(line, sizeof(line), f) != NULL) {
		const char *after_name = strrchr(line, ')');
		if (after_name == NULL || sscanf(after_name + 1, " %*c %u", &parent) != 1)
			parent = 0;
	}
	(void)fclose(f);
	return parent;
}

static bool tree_has(const u32 *tree, size_t n, u32 pid)
{
	for (size_t i = 0; i < n; i++)
		if (tree[i] == pid)
			return true;
	return false;
}

/* Add every process whose parent is in the tree; true when one was added. */
static bool tree_grow(u32 *tree, size_t *n)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	bool grew = false;

	if (proc == NULL)
		return false;
	while ((entry = readdir(proc)) != NULL && *n < TREE_MAX) {
		u64 pid;
		if (num_parse(slice_str(entry->d_name), UINT32_MAX, &pid) != E_OK)
			continue;
		if (!tree_has(tree, *n, (u32)pid) && tree_has(tree, *n, parent_of((u32)pid))) {
			tree[(*n)++] = (u32)pid;
			grew = true;
		}
	}
	(void)closedir(proc);
	return grew;
}

static size_t tree_of(u32 pid, u32 *tree)
{
	size_t n = 1;

	tree[0] = pid;
	while (tree_grow(tree, &n))
		continue;
	return n;
}

static u64 process_cpu_ns(u32 pid)
{
	char path[320];
	DIR *tasks;
	const struct dirent *entry;
	u64 sum = 0;

	(void)snprintf(path, sizeof(path), "/proc/%u/task", pid);
	tasks = opendir(path);
	if (tasks == NULL)
		return 0;
	while ((entry = readdir(tasks)) != NULL) {
		unsigned long long ns = 0;
		FILE *f;
		(void)snprintf(path, sizeof(path), "/proc/%u/task/%s/schedstat", pid,
			       entry->d_name);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		if (fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		(void)fclose(f);
	}
	(void)closedir(tasks);
	return sum;
}

static u64 process_pss_kib(u32 pid)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%u/smaps_rollup", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Pss: %llu kB", &kib) == 1)
			break;
	(void)fclose(f);
	return kib;
}

static u64 tree_sum(u32 pid, u64 (*cost)(u32 pid))
{
	u32 tree[TREE_MAX];
	size_t n = tree_of(pid, tree);
	u64 sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += cost(tree[i]);
	return sum;
}

u64 cost_cpu_ns(u32 pid)
{
	return tree_sum(pid, process_cpu_ns);
}

u64 cost_pss_kib(u32 pid)
{
	return tree_sum(pid, process_pss_kib);
}
