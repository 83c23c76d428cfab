/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include "boot.h"
#include "large/clear.h"
#include "large/large.h"
#include "meta/meta.h"
#include "small/bin.h"
#include "small/pageheap.h"
#include "small/transfer.h"
#include "thread/thread.h"

void vm_stats_gather(struct vm_stats *stats)
{
	*stats = (struct vm_stats){.version = VM_STATS_VERSION};
	if (!vm_boot())
		return;
	vm_threads_stats(stats);
	stats->small_cached += vm_transfer_cached();
	vm_bins_stats(stats);
	/* The bins count what the caches hold as live; other threads may have moved some meanwhile. */
	stats->small_live -= min_size(stats->small_live, stats->small_cached);
	vm_large_stats(stats);
	vm_pageheap_stats(stats);
	vm_clear_stats(stats);
	stats->meta_mapped = vm_meta_mapped();
}
