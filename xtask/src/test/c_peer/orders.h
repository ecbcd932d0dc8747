/*
 * What the two peers in C share: they take orders, one a line, and answer each with lines of what happened, the last
 * one a full stop. All they share with the other side is the memory that they inherit as file descriptor 3; nobody is
 * interrupted, they look when they are told to. So each order changes the memory in the same way every time.
 *
 *   start               make the queues and buffers, or find them
 *   poll                look at both queues
 *   open NAME ADDRESS   an endpoint that echoes, announced
 *   close               destroy it
 *   send ADDRESS LEN    LEN bytes, from it
 *   stop                forget everything
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "layout.h"

static uint8_t *shared;

static void open_memory(void)
{
	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	if (shared == MAP_FAILED) {
		perror("file descriptor 3");
		exit(1);
	}
}

static int is_host(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "host"))
		return 1;
	if (argc == 2 && !strcmp(argv[1], "remote"))
		return 0;
	fprintf(stderr, "usage: %s host|remote\n", argv[0]);
	exit(2);
}

static void heard(uint32_t source, const uint8_t *bytes, uint32_t len)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < len; i++)
		sum = sum * 31 + bytes[i];
	printf("heard %u %u %u\n", source, len, sum);
}

static void fill(uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = i * 7 + len;
}

static int do_start(int host);
static int do_poll(void);
static int do_open(const char *name, uint32_t address);
static int do_close(void);
static int do_send(uint32_t address, const uint8_t *bytes, uint32_t len);
static int do_stop(void);

static int orders(int host)
{
	char line[128], name[32];
	unsigned address, len;

	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	while (fgets(line, sizeof(line), stdin)) {
		int result = -1000;

		if (!strcmp(line, "start\n"))
			result = do_start(host);
		else if (!strcmp(line, "poll\n"))
			result = do_poll();
		else if (sscanf(line, "open %31s %u", name, &address) == 2)
			result = do_open(name, address);
		else if (!strcmp(line, "close\n"))
			result = do_close();
		else if (sscanf(line, "send %u %u", &address, &len) == 2 && len <= BUFFER) {
			uint8_t bytes[BUFFER];

			fill(bytes, len);
			result = do_send(address, bytes, len);
		} else if (!strcmp(line, "stop\n"))
			result = do_stop();
		if (result < 0)
			printf("failed %d\n", result);
		printf(".\n");
		fflush(stdout);
	}
	return 0;
}
