// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Two remote cores that exist only in this driver, for the tests of Tutti's Linux back end against the kernel's remoteproc.
 *
 * tutti-remote.0 is off at boot and takes a firmware; tutti-remote.1 runs at boot, as if a boot loader had started it.
 * Each has 64 KiB of memory at the device address 0x10000:
 *
 *   0x10000  firmware, which begins with the word "TUTI"; a core that finds something else there does not start
 *   0x18000  4 KiB of trace, which the core writes as it lives: a line at its start, one per beat, one as it crashes
 *
 * Its files in sysfs (/sys/bus/platform/devices/tutti-remote.N): writing to "crash" crashes the core.
 */
#include <linux/device.h>
#include <linux/elf.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/remoteproc.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#define MEMORY_NAME "tutti-memory"
#define MEMORY_DA 0x10000
#define MEMORY_LEN 0x10000
#define TRACE_AT 0x8000
#define TRACE_LEN 0x1000
#define BEAT_MS 50

struct remote {
	struct rproc *rproc;
	u8 *memory;
	/* Running when this kernel booted: its memory is there before anybody asks for it, and stays. */
	bool found;
	unsigned int lives;
	unsigned int beats;
	struct delayed_work beat;
};

/* What a core that was found running says about itself. */
static const struct {
	struct resource_table table;
	u32 offset[1];
	struct fw_rsc_hdr header;
	struct fw_rsc_trace trace;
} __packed found_table = {
	.table = { .ver = 1, .num = 1 },
	.offset = { sizeof(struct resource_table) + sizeof(u32) },
	.header = { .type = RSC_TRACE },
	.trace = { .da = MEMORY_DA + TRACE_AT, .len = TRACE_LEN, .name = "trace" },
};

/* The remote's side: it has its memory, and nothing else. */

static void remote_say(struct remote *remote, const char *what, unsigned int number)
{
	char *trace = remote->memory + TRACE_AT;
	size_t used = strnlen(trace, TRACE_LEN - 1);

	scnprintf(trace + used, TRACE_LEN - used, "%s %u\n", what, number);
}

static void remote_beat(struct work_struct *work)
{
	struct remote *remote = container_of(to_delayed_work(work), struct remote, beat);

	remote_say(remote, "beat", ++remote->beats);
	schedule_delayed_work(&remote->beat, msecs_to_jiffies(BEAT_MS));
}

static void remote_wake(struct remote *remote)
{
	memset(remote->memory + TRACE_AT, 0, TRACE_LEN);
	remote->beats = 0;
	remote_say(remote, "life", ++remote->lives);
	schedule_delayed_work(&remote->beat, 0);
}

static void remote_sleep(struct remote *remote)
{
	cancel_delayed_work_sync(&remote->beat);
}

/* The driver's side. */

static int memory_alloc(struct rproc *rproc, struct rproc_mem_entry *entry)
{
	struct remote *remote = rproc->priv;

	if (!remote->memory)
		remote->memory = kzalloc(MEMORY_LEN, GFP_KERNEL);
	entry->va = remote->memory;
	return entry->va ? 0 : -ENOMEM;
}

static int memory_release(struct rproc *rproc, struct rproc_mem_entry *entry)
{
	struct remote *remote = rproc->priv;

	if (!remote->found) {
		kfree(remote->memory);
		remote->memory = NULL;
	}
	return 0;
}

static int tutti_prepare(struct rproc *rproc)
{
	struct rproc_mem_entry *entry;

	entry = rproc_mem_entry_init(&rproc->dev, NULL, 0, MEMORY_LEN, MEMORY_DA, memory_alloc, memory_release, MEMORY_NAME);
	if (!entry)
		return -ENOMEM;
	rproc_add_carveout(rproc, entry);
	return rproc_coredump_add_segment(rproc, MEMORY_DA, MEMORY_LEN);
}

static int tutti_start(struct rproc *rproc)
{
	struct remote *remote = rproc->priv;

	if (memcmp(remote->memory, "TUTI", 4))
		return -ENOEXEC;
	remote_wake(remote);
	return 0;
}

static int tutti_stop(struct rproc *rproc)
{
	remote_sleep(rproc->priv);
	return 0;
}

/* It goes on as it was. */
static int tutti_attach(struct rproc *rproc)
{
	return 0;
}

static int tutti_detach(struct rproc *rproc)
{
	return 0;
}

static struct resource_table *tutti_found_table(struct rproc *rproc, size_t *size)
{
	struct remote *remote = rproc->priv;

	*size = sizeof(found_table);
	return (struct resource_table *)(remote->memory + TRACE_AT + TRACE_LEN);
}

static const struct rproc_ops tutti_ops = {
	.prepare = tutti_prepare,
	.start = tutti_start,
	.stop = tutti_stop,
	.attach = tutti_attach,
	.detach = tutti_detach,
	.get_loaded_rsc_table = tutti_found_table,
};

static ssize_t crash_store(struct device *dev, struct device_attribute *attr, const char *text, size_t count)
{
	struct remote *remote = dev_get_drvdata(dev);

	if (remote->rproc->state != RPROC_RUNNING && remote->rproc->state != RPROC_ATTACHED)
		return -EINVAL;
	remote_sleep(remote);
	remote_say(remote, "crash", remote->lives);
	rproc_report_crash(remote->rproc, RPROC_FATAL_ERROR);
	return count;
}
static DEVICE_ATTR_WO(crash);

static struct attribute *tutti_attrs[] = { &dev_attr_crash.attr, NULL };
ATTRIBUTE_GROUPS(tutti);

static int tutti_probe(struct platform_device *pdev)
{
	struct rproc *rproc;
	struct remote *remote;

	rproc = devm_rproc_alloc(&pdev->dev, dev_name(&pdev->dev), &tutti_ops, "tutti.elf", sizeof(*remote));
	if (!rproc)
		return -ENOMEM;
	remote = rproc->priv;
	remote->rproc = rproc;
	remote->found = pdev->id == 1;
	INIT_DELAYED_WORK(&remote->beat, remote_beat);
	platform_set_drvdata(pdev, remote);
	rproc->auto_boot = false;
	rproc_coredump_set_elf_info(rproc, ELFCLASS32, EM_ARM);
	if (remote->found) {
		remote->memory = devm_kzalloc(&pdev->dev, MEMORY_LEN, GFP_KERNEL);
		if (!remote->memory)
			return -ENOMEM;
		memcpy(remote->memory, "TUTI", 4);
		memcpy(remote->memory + TRACE_AT + TRACE_LEN, &found_table, sizeof(found_table));
		rproc->state = RPROC_DETACHED;
		remote_wake(remote);
	}
	return devm_rproc_add(&pdev->dev, rproc);
}

static struct platform_driver tutti_driver = {
	.probe = tutti_probe,
	.driver = { .name = "tutti-remote", .dev_groups = tutti_groups, .suppress_bind_attrs = true },
};

static int __init tutti_init(void)
{
	int id, error = platform_driver_register(&tutti_driver);

	for (id = 0; !error && id < 2; id++)
		error = PTR_ERR_OR_ZERO(platform_device_register_simple("tutti-remote", id, NULL, 0));
	return error;
}
device_initcall(tutti_init);

MODULE_DESCRIPTION("Remote cores for tests");
MODULE_LICENSE("Dual MIT/GPL");
