/* Prints format, compression and virtual size of an image on standard input, and reads only as much of it as
 * necessary.
 *
 *     cc -o probe probe.c $(pkg-config --cflags --libs diskimg)
 *     curl -s URL | ./probe
 */
#include <diskimg.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static const char *const wrappers[] = {"", "+gzip", "+xz", "+zstd"};
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_probe *probe = NULL;
    diskimg_error *error = NULL;
    diskimg_status status;
    uint32_t state = DISKIMG_PROBE_MORE;
    static char chunk[16384];
    ssize_t length = 0;

    (void)argv;
    /* With any argument, an unknown format is read as raw. */
    if (argc > 1) {
        options.flags |= DISKIMG_OPEN_ALLOW_RAW;
    }
    status = diskimg_probe_new(&options, &probe, &error);
    while (status == DISKIMG_OK && state != DISKIMG_PROBE_DONE && (length = read(0, chunk, sizeof chunk)) > 0) {
        status = diskimg_probe_push(probe, chunk, (size_t)length, &state, &error);
    }
    if (length < 0) {
        perror("standard input");
        diskimg_probe_free(probe);
        return 1;
    }
    if (status == DISKIMG_OK) {
        status = diskimg_probe_finish(probe, &info, &error);
    }
    if (status == DISKIMG_OK) {
        const char *format = diskimg_format_name(info.format);
        const char *wrapper = info.wrapper < 4 ? wrappers[info.wrapper] : "+?";
        printf("%s%s", format == NULL ? "?" : format, wrapper);
        if (info.flags & DISKIMG_INFO_SIZE_KNOWN) {
            printf(" %" PRIu64, info.virtual_size);
        }
        printf("%s\n", info.flags & DISKIMG_INFO_OPTICAL_DISC ? " cdrom" : "");
    } else {
        fprintf(stderr, "standard input: %s\n", diskimg_error_message(error));
        diskimg_error_free(error);
    }
    diskimg_probe_free(probe);
    return status == DISKIMG_OK ? 0 : status == DISKIMG_ERR_UNKNOWN_FORMAT ? 2 : 1;
}
