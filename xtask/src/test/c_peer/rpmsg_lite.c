/* rpmsg-lite as a peer: its environment and platform for one process that polls, and the orders. */
#include "orders.h"
#include "rpmsg_lite.h"
#include "rpmsg_ns.h"
#include "rpmsg_env.h"

static void *queues[2];
static struct rpmsg_lite_instance *instance;
static struct rpmsg_lite_endpoint *endpoint;
static rpmsg_ns_handle names;
static char name[32];

int32_t platform_init_interrupt(uint32_t vector, void *data)
{
	queues[vector & 1] = data;
	return 0;
}

int32_t platform_deinit_interrupt(uint32_t vector)
{
	queues[vector & 1] = NULL;
	return 0;
}

void platform_notify(uint32_t vector) { (void)vector; }

int32_t env_init(void) { return 0; }
int32_t env_deinit(void) { return 0; }
void *env_allocate_memory(uint32_t size) { return malloc(size); }
void env_free_memory(void *memory) { free(memory); }
void env_memset(void *to, int32_t value, uint32_t size) { memset(to, value, size); }
void env_memcpy(void *to, void const *from, uint32_t size) { memcpy(to, from, size); }
int32_t env_strcmp(const char *one, const char *other) { return strcmp(one, other); }
int32_t env_strncmp(char *one, const char *other, uint32_t size) { return strncmp(one, other, size); }
void env_strncpy(char *to, const char *from, uint32_t size)
{
	/* As strncpy does, without its warnings. */
	size_t len = strnlen(from, size);

	memcpy(to, from, len);
	memset(to + len, 0, size - len);
}
uint32_t env_map_vatopa(void *address) { return DEVICE + (uint32_t)((uint8_t *)address - shared); }
void *env_map_patova(uint32_t address) { return shared + (address - DEVICE); }
void env_mb(void) { __sync_synchronize(); }
void env_rmb(void) { __sync_synchronize(); }
void env_wmb(void) { __sync_synchronize(); }
int32_t env_create_mutex(void **lock, int32_t count)
{
	(void)count;
	*lock = &instance;
	return 0;
}
void env_delete_mutex(void *lock) { (void)lock; }
void env_lock_mutex(void *lock) { (void)lock; }
void env_unlock_mutex(void *lock) { (void)lock; }
void env_sleep_msec(uint32_t ms) { (void)ms; }
void env_register_isr(uint32_t vector, void *data) { platform_init_interrupt(vector, data); }
void env_unregister_isr(uint32_t vector) { platform_deinit_interrupt(vector); }
void env_enable_interrupt(uint32_t vector) { (void)vector; }
void env_disable_interrupt(uint32_t vector) { (void)vector; }
void env_cache_flush(void *data, uint32_t len) { (void)data, (void)len; }
void env_cache_invalidate(void *data, uint32_t len) { (void)data, (void)len; }
uint32_t env_wait_for_link_up(volatile uint32_t *state, uint32_t link, uint32_t ms)
{
	(void)link, (void)ms;
	return *state;
}
void env_tx_callback(uint32_t link) { (void)link; }

static int32_t on_message(void *payload, uint32_t len, uint32_t source, void *unused)
{
	uint8_t bytes[BUFFER];

	(void)unused;
	heard(source, payload, len);
	memcpy(bytes, payload, len);
	/* What came as an answer is not answered again: that starts with a 1. */
	if (!len || bytes[0] != 1)
		rpmsg_lite_send(instance, endpoint, source, (char *)bytes, len, RL_DONT_BLOCK);
	return RL_RELEASE;
}

static void on_name(uint32_t address, const char *said, uint32_t flags, void *unused)
{
	(void)unused;
	printf("name %.32s %u %s\n", said, address, flags & RL_NS_DESTROY ? "gone" : "here");
}

static int do_start(int host)
{
	instance = host ? rpmsg_lite_master_init(shared, BYTES, 0, RL_NO_FLAGS)
			: rpmsg_lite_remote_init(shared, 0, RL_NO_FLAGS);
	if (!instance)
		return -1;
	names = rpmsg_ns_bind(instance, on_name, NULL);
	return names ? 0 : -2;
}

static int do_poll(void)
{
	for (int i = 0; i < 2; i++)
		if (queues[i])
			virtqueue_notification(queues[i]);
	return 0;
}

static int do_open(const char *said, uint32_t address)
{
	endpoint = rpmsg_lite_create_ept(instance, address, on_message, NULL);
	if (!endpoint)
		return -1;
	snprintf(name, sizeof(name), "%s", said);
	return rpmsg_ns_announce(instance, endpoint, name, RL_NS_CREATE);
}

static int do_close(void)
{
	int result = rpmsg_ns_announce(instance, endpoint, name, RL_NS_DESTROY);

	rpmsg_lite_destroy_ept(instance, endpoint);
	endpoint = NULL;
	return result;
}

static int do_send(uint32_t address, const uint8_t *bytes, uint32_t len)
{
	return rpmsg_lite_send(instance, endpoint, address, (char *)bytes, len, RL_DONT_BLOCK);
}

static int do_stop(void)
{
	rpmsg_ns_unbind(instance, names);
	if (endpoint)
		rpmsg_lite_destroy_ept(instance, endpoint);
	endpoint = NULL;
	return rpmsg_lite_deinit(instance);
}

int main(int argc, char **argv)
{
	int host = is_host(argc, argv);

	open_memory();
	return orders(host);
}
