/* open-amp as a peer: a virtio device without a resource table, in one process that polls, and the orders. */
#include "orders.h"
#include <metal/alloc.h>
#include <metal/io.h>
#include <metal/log.h>
#include <metal/sys.h>
#include <openamp/rpmsg_virtio.h>
#include <openamp/virtio.h>
#include <openamp/virtqueue.h>

/* What libmetal keeps for devices of Linux, of which there are none here. */
struct metal_state _metal;

static metal_phys_addr_t physical = DEVICE;
static struct metal_io_region io;
static struct virtio_device device;
static struct virtio_vring_info rings[2];
static struct rpmsg_virtio_device rpmsg;
static struct rpmsg_virtio_shm_pool pool;
static struct rpmsg_endpoint endpoint;
static int is_open;

/* Both ends are there from the start: nobody negotiates. */
static uint8_t get_status(struct virtio_device *it)
{
	(void)it;
	return VIRTIO_CONFIG_STATUS_DRIVER_OK;
}

static void set_status(struct virtio_device *it, uint8_t status) { (void)it, (void)status; }

static uint32_t get_features(struct virtio_device *it)
{
	(void)it;
	return 1 << VIRTIO_RPMSG_F_NS;
}

static void set_features(struct virtio_device *it, uint32_t features) { (void)it, (void)features; }
static void notify(struct virtqueue *queue) { (void)queue; }

static int create_queues(struct virtio_device *it, unsigned int flags, unsigned int count, const char *names[],
			 vq_callback callbacks[], void *arguments[])
{
	(void)flags, (void)arguments;
	for (unsigned int i = 0; i < count; i++) {
		struct virtio_vring_info *ring = &it->vrings_info[i];

		if (it->role == VIRTIO_DEV_DRIVER)
			memset(ring->info.vaddr, 0, RING_BYTES);
		if (virtqueue_create(it, i, names[i], &ring->info, callbacks[i], notify, ring->vq))
			return -1;
	}
	return 0;
}

static void delete_queues(struct virtio_device *it) { (void)it; }

static const struct virtio_dispatch dispatch = {
	.create_virtqueues = create_queues,
	.delete_virtqueues = delete_queues,
	.get_status = get_status,
	.set_status = set_status,
	.get_features = get_features,
	.set_features = set_features,
	.notify = notify,
};

static int on_message(struct rpmsg_endpoint *to, void *payload, size_t len, uint32_t source, void *unused)
{
	uint8_t bytes[BUFFER];

	(void)unused;
	heard(source, payload, len);
	memcpy(bytes, payload, len);
	/* What came as an answer is not answered again: that starts with a 1. */
	if (!len || bytes[0] != 1)
		rpmsg_send_offchannel(to, to->addr, source, bytes, len);
	return RPMSG_SUCCESS;
}

static void on_name(struct rpmsg_device *it, const char *name, uint32_t address)
{
	(void)it;
	printf("name %.32s %u here\n", name, address);
}

static void on_name_gone(struct rpmsg_device *it, const char *name, uint32_t address)
{
	(void)it;
	printf("name %.32s %u gone\n", name, address);
}

static int do_start(int host)
{
	memset(&device, 0, sizeof(device));
	memset(&rpmsg, 0, sizeof(rpmsg));
	memset(rings, 0, sizeof(rings));
	is_open = 0;
	metal_io_init(&io, shared, &physical, BYTES, -1, 0, NULL);
	for (int i = 0; i < 2; i++) {
		rings[i].vq = virtqueue_allocate(ENTRIES);
		if (!rings[i].vq)
			return -1;
		rings[i].info.vaddr = shared + i * RING_BYTES;
		rings[i].info.align = RING_ALIGN;
		rings[i].info.num_descs = ENTRIES;
		rings[i].io = &io;
	}
	device.role = host ? VIRTIO_DEV_DRIVER : VIRTIO_DEV_DEVICE;
	device.func = &dispatch;
	device.vrings_num = 2;
	device.vrings_info = rings;
	rpmsg_virtio_init_shm_pool(&pool, shared + 2 * RING_BYTES, 2 * ENTRIES * BUFFER);
	if (rpmsg_init_vdev(&rpmsg, &device, on_name, &io, host ? &pool : NULL))
		return -2;
	rpmsg.rdev.ns_unbind_cb = on_name_gone;
	return 0;
}

static int do_poll(void)
{
	for (int i = 0; i < 2; i++)
		virtqueue_notification(rings[i].vq);
	return 0;
}

static int do_open(const char *name, uint32_t address)
{
	is_open = 1;
	return rpmsg_create_ept(&endpoint, &rpmsg.rdev, name, address, RPMSG_ADDR_ANY, on_message, NULL);
}

static int do_close(void)
{
	rpmsg_destroy_ept(&endpoint);
	is_open = 0;
	return 0;
}

static int do_send(uint32_t address, const uint8_t *bytes, uint32_t len)
{
	return rpmsg_send_offchannel(&endpoint, endpoint.addr, address, bytes, len);
}

static int do_stop(void)
{
	/* As a core that is switched off: nobody is told. */
	rpmsg.rdev.support_ns = false;
	if (is_open)
		rpmsg_destroy_ept(&endpoint);
	rpmsg_deinit_vdev(&rpmsg);
	return 0;
}

int main(int argc, char **argv)
{
	int host = is_host(argc, argv);

	open_memory();
	return orders(host);
}
