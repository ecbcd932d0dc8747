/*
 * The first and only process of the kernel that the layer linux-peer starts: drives the kernel's RPMsg drivers against
 * our device, says what it has seen, and switches the machine off. Each wait is bounded; what goes wrong is said with
 * the line of this file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rpmsg.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MOST 496
#define ROUNDS 41 /* of 497 sizes: 20,377 echoes */
#define ECHO_AT 100
#define CONTROL_AT 200
#define ANY 0xffffffffu

static void off(void)
{
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

#define fail(...)                                       \
	do {                                            \
		printf("FAILED at line %d: ", __LINE__); \
		printf(__VA_ARGS__);                    \
		printf(" (%s)\n", strerror(errno));     \
		off();                                  \
	} while (0)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* What the kernel says about the device of a file in /dev. */
static void about(const char *path, char *file, size_t size)
{
	const char *name = strrchr(path, '/') + 1;

	snprintf(file, size, "/sys/class/%s/%s/dev", strncmp(name, "tty", 3) ? "rpmsg" : "tty", name);
}

/* Waits up to ten seconds for a device to be there, or to be gone. */
static int there(const char *path, int wanted)
{
	double end = now() + 10;
	char file[128];

	about(path, file, sizeof(file));
	while ((access(file, F_OK) == 0) != wanted) {
		if (now() > end)
			return 0;
		usleep(2000);
	}
	return 1;
}

static int readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 10000) == 1 && (p.revents & POLLIN);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail("%s to %s", text, path);
	close(fd);
}

static int open_soon(const char *path)
{
	unsigned major, minor;
	char file[128];
	FILE *f;
	int fd;

	if (!there(path, 1))
		fail("no %s", path);
	about(path, file, sizeof(file));
	f = fopen(file, "r");
	if (!f || fscanf(f, "%u:%u", &major, &minor) != 2)
		fail("%s", file);
	fclose(f);
	/* Numbers are given out anew. */
	unlink(path);
	if (mknod(path, S_IFCHR | 0600, makedev(major, minor)))
		fail("%s", path);
	fd = open(path, O_RDWR);
	if (fd < 0)
		fail("%s", path);
	return fd;
}

/* One message there and back. */
static void echo(int fd, int len, unsigned seed)
{
	unsigned char sent[MOST + 1], got[MOST + 1];
	ssize_t n;

	for (int i = 0; i < len; i++)
		sent[i] = i * 131 + seed * 7 + (seed >> 8);
	if (write(fd, sent, len) != len)
		fail("write of %d bytes", len);
	if (!readable(fd))
		fail("no echo of %d bytes", len);
	n = read(fd, got, sizeof(got));
	if (n != len || memcmp(sent, got, len))
		fail("%d bytes came back as %zd", len, n);
}

static void echoes(const char *path, int rounds)
{
	int fd = open_soon(path);
	double start = now();

	for (int i = 0; i < rounds * (MOST + 1); i++)
		echo(fd, i % (MOST + 1), i);
	printf("ok echo: %d messages of 0 to %d bytes over %s, %.0f us each\n", rounds * (MOST + 1), MOST, path,
	       (now() - start) * 1e6 / (rounds * (MOST + 1)));
	close(fd);
}

/* Too long is refused, not cut off. */
static void too_long(const char *path)
{
	char bytes[MOST + 1] = { 0 };
	int fd = open_soon(path);

	if (write(fd, bytes, sizeof(bytes)) > 0)
		fail("a message of %zu bytes was taken", sizeof(bytes));
	echo(fd, MOST, 1);
	close(fd);
}

static void tty(const char *path)
{
	int fd = open_soon(path);
	struct termios t;
	unsigned char sent[MOST], got[MOST];

	if (tcgetattr(fd, &t))
		fail("%s", path);
	cfmakeraw(&t);
	if (tcsetattr(fd, TCSANOW, &t))
		fail("%s", path);
	for (size_t len = 1; len <= MOST; len++) {
		size_t have = 0;

		for (size_t i = 0; i < len; i++)
			sent[i] = i + len;
		if (write(fd, sent, len) != (ssize_t)len)
			fail("write of %zu bytes", len);
		while (have < len) {
			ssize_t n;

			if (!readable(fd))
				fail("%zu of %zu bytes", have, len);
			n = read(fd, got + have, len - have);
			if (n <= 0)
				fail("%zu of %zu bytes", have, len);
			have += n;
		}
		if (memcmp(sent, got, len))
			fail("%zu bytes came back changed", len);
	}
	close(fd);
	printf("ok tty: 1 to %d bytes over %s\n", MOST, path);
}

static void control(unsigned long request, const char *name, uint32_t src, uint32_t dst)
{
	struct rpmsg_endpoint_info info = { .src = src, .dst = dst };
	int fd = open_soon("/dev/rpmsg_ctrl0");

	strncpy(info.name, name, sizeof(info.name) - 1);
	if (ioctl(fd, request, &info))
		fail("ioctl for %s", name);
	close(fd);
}

/* The device of the endpoint of this name. */
static void find(const char *name, char *path, size_t size)
{
	double end = now() + 10;

	while (now() < end) {
		DIR *dir = opendir("/sys/class/rpmsg");
		struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			char file[300], found[40] = "";
			FILE *f;

			snprintf(file, sizeof(file), "/sys/class/rpmsg/%s/name", entry->d_name);
			f = fopen(file, "r");
			if (f && fgets(found, sizeof(found), f) && !strncmp(found, name, strlen(name))) {
				fclose(f);
				closedir(dir);
				snprintf(path, size, "/dev/%s", entry->d_name);
				return;
			}
			if (f)
				fclose(f);
		}
		if (dir)
			closedir(dir);
		usleep(2000);
	}
	fail("no endpoint %s", name);
}

static void endpoints(void)
{
	char path[64];
	int fd;

	for (int round = 0; round < 3; round++) {
		control(RPMSG_CREATE_EPT_IOCTL, "by-ioctl", ANY, ECHO_AT);
		find("by-ioctl", path, sizeof(path));
		fd = open_soon(path);
		for (int i = 0; i <= MOST; i++)
			echo(fd, i, round);
		if (ioctl(fd, RPMSG_DESTROY_EPT_IOCTL))
			fail("destroying %s", path);
		close(fd);
		if (!there(path, 0))
			fail("%s is still there", path);
	}
	printf("ok endpoints: created by ioctl, used and destroyed, 3 times\n");
}

/* Gives the device an order; its answer. */
static const char *order(int fd, const char *text)
{
	static char answer[MOST + 1];
	ssize_t n;

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || !readable(fd))
		fail("no answer to %s", text);
	n = read(fd, answer, MOST);
	if (n < 0)
		fail("no answer to %s", text);
	answer[n] = 0;
	return answer;
}

static void names(void)
{
	char path[64];
	int fd;

	control(RPMSG_CREATE_EPT_IOCTL, "orders", ANY, CONTROL_AT);
	find("orders", path, sizeof(path));
	fd = open_soon(path);
	if (strcmp(order(fd, "services"), ""))
		fail("the device knows a service before there is one");
	control(RPMSG_CREATE_DEV_IOCTL, "rpmsg-raw", 400, ANY);
	if (strcmp(order(fd, "services"), "rpmsg-raw@400"))
		fail("the device was not told of ours: %s", order(fd, "services"));
	control(RPMSG_RELEASE_DEV_IOCTL, "rpmsg-raw", 400, ANY);
	if (strcmp(order(fd, "services"), ""))
		fail("the device was not told that ours is gone");
	for (int round = 0; round < 3; round++) {
		if (!atoi(order(fd, "open rpmsg-tty")) || !there("/dev/ttyRPMSG1", 1))
			fail("its second tty did not come");
		if (strcmp(order(fd, "close"), "closed") || !there("/dev/ttyRPMSG1", 0))
			fail("its second tty did not go");
	}
	close(fd);
	printf("ok names: made known and taken back, in both directions\n");
}

#define DRIVER "/sys/bus/virtio/drivers/virtio_rpmsg_bus/"

static void rebind(void)
{
	char device[64] = "";
	DIR *dir = opendir(DRIVER);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "virtio", 6))
			snprintf(device, sizeof(device), "%.60s", entry->d_name);
	if (!*device)
		fail("no device in " DRIVER);
	closedir(dir);
	for (int round = 0; round < 5; round++) {
		put(DRIVER "unbind", device);
		if (!there("/dev/rpmsg0", 0) || !there("/dev/ttyRPMSG0", 0))
			fail("unbound, and still there");
		put(DRIVER "bind", device);
		echoes("/dev/rpmsg0", 1);
	}
	tty("/dev/ttyRPMSG0");
	printf("ok rebind: 5 times\n");
}

/* The test kills the device when it reads the word, and types a line when there is another one. */
static void restart(int round)
{
	char line[64], device[32];
	int fd = open_soon("/dev/rpmsg0");
	unsigned char byte = 0;

	printf("RESTART\n");
	while (access("/sys/class/rpmsg/rpmsg0", F_OK) == 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		(void)!write(fd, &byte, 1);
		if (poll(&p, 1, 100) == 1 && (p.revents & POLLIN))
			(void)!read(fd, &byte, 1);
		if (p.revents & (POLLERR | POLLHUP))
			break;
	}
	close(fd);
	if (!there("/dev/rpmsg0", 0) || !fgets(line, sizeof(line), stdin))
		fail("nobody said go");
	/* The kernel has taken the device away with its socket. The next one it knows, but found nobody there so far. */
	snprintf(device, sizeof(device), "virtio-uml.%d", round);
	put("/sys/bus/platform/drivers/virtio-uml/bind", device);
	echoes("/dev/rpmsg0", 2);
	tty("/dev/ttyRPMSG0");
	printf("ok restart %d: the device was killed, and another one took its place\n", round);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	if (mount("none", "/proc", "proc", 0, "") || mount("none", "/sys", "sysfs", 0, ""))
		fail("mount");
	echoes("/dev/rpmsg0", ROUNDS);
	too_long("/dev/rpmsg0");
	tty("/dev/ttyRPMSG0");
	endpoints();
	names();
	rebind();
	restart(1);
	restart(2);
	printf("ALL PASSED\n");
	off();
}
