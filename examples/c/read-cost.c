/* Measures the overhead of a read: the nanoseconds of diskimg_pread() from a raw disk in memory, and of memcpy() from
 * the same offsets.
 *
 *     cc -O2 -o read-cost read-cost.c $(pkg-config --cflags --libs diskimg)
 *     ./read-cost
 */
#define _POSIX_C_SOURCE 200809L
#include <diskimg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DISK = 1 << 20, LARGEST = 65536, READS = 200000, ROUNDS = 7 };

static unsigned char disk[DISK], buf[LARGEST];

/* A volatile pointer, so that the compiler keeps every copy. */
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Returns the nanoseconds of one read of `len` bytes, the best of several rounds; negative after a failure. */
static double cost(const diskimg_image *image, size_t len) {
    double best = -1;
    int round, i;

    for (round = 0; round < ROUNDS; round++) {
        double start = now(), took;
        for (i = 0; i < READS; i++) {
            size_t offset = (size_t)i * 4096 % (DISK - LARGEST);
            if (image == NULL) {
                copy(buf, disk + offset, len);
            } else if (diskimg_pread(image, buf, len, offset, NULL, NULL) != DISKIMG_OK) {
                return -1;
            }
        }
        took = (now() - start) / READS;
        best = best < 0 || took < best ? took : best;
    }
    return best;
}

int main(void) {
    static const size_t lengths[] = {512, 4096, LARGEST};
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *image;
    diskimg_error *error;
    size_t i;

    memset(disk, 7, sizeof disk);
    options.format = DISKIMG_FORMAT_RAW;
    if (diskimg_open_memory(disk, sizeof disk, &options, &image, &error) != DISKIMG_OK) {
        fprintf(stderr, "%s\n", diskimg_error_message(error));
        diskimg_error_free(error);
        return 1;
    }
    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        double read = cost(image, lengths[i]), copied = cost(NULL, lengths[i]);
        if (read < 0) {
            fprintf(stderr, "a read failed\n");
            diskimg_close(image);
            return 1;
        }
        printf("%6zu bytes: read %7.1f ns, copy %7.1f ns\n", lengths[i], read, copied);
    }
    diskimg_close(image);
    return 0;
}
