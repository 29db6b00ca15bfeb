/* Converts a disk image: shows progress, stops on Ctrl-C, and leaves no half-written target.
 *
 *     cc -o convert convert.c $(pkg-config --cflags --libs diskimg)
 *     ./convert disk.qcow2 disk.raw
 *     ./convert -O qcow2 -c disk.raw disk.qcow2
 */
#define _POSIX_C_SOURCE 200809L
#include <diskimg.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static diskimg_cancel *cancel;

/* Allowed in a signal handler: triggering is one atomic store. */
static void interrupted(int signal_number) {
    (void)signal_number;
    diskimg_cancel_trigger(cancel);
}

/* Comes on our own thread, and may stop the work by returning non-zero. */
static int progress(void *user, uint64_t done, uint64_t total) {
    int *shown = user;
    int percent = total == 0 ? 100 : (int)(100.0 * (double)done / (double)total);
    if (percent != *shown) {
        *shown = percent;
        fprintf(stderr, "\r%3d %%", percent);
    }
    return 0;
}

static int failed(const char *what, diskimg_status status, diskimg_error *error) {
    fprintf(stderr, "%s: %s\n", what, diskimg_error_message(error));
    if (diskimg_error_hint(error) != NULL) {
        fprintf(stderr, "%s: %s\n", what, diskimg_error_hint(error));
    }
    diskimg_error_free(error);
    return status == DISKIMG_ERR_CANCELLED ? 130 : 1;
}

static int usage(void) {
    fprintf(stderr, "usage: convert [-O FORMAT] [-f FORMAT] [-o SETTINGS] [-c] [-q] [-F] SOURCE TARGET\n");
    return 2;
}

int main(int argc, char **argv) {
    diskimg_open_options how_to_open = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options how = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_convert_result result = DISKIMG_CONVERT_RESULT_INIT;
    diskimg_image *image = NULL;
    diskimg_error *error = NULL;
    diskimg_status status;
    struct sigaction action;
    int option, shown = -1, quiet = 0;

    how.format = DISKIMG_FORMAT_RAW;
    while ((option = getopt(argc, argv, "O:f:o:cqF")) != -1) {
        switch (option) {
        case 'O':
            how.format = diskimg_format_by_name(optarg);
            break;
        case 'f':
            how_to_open.format = diskimg_format_by_name(optarg);
            if (how_to_open.format == DISKIMG_FORMAT_AUTO) {
                return usage();
            }
            break;
        case 'o':
            how.settings = optarg;
            break;
        case 'c':
            how.flags |= DISKIMG_CONVERT_COMPRESS;
            break;
        case 'q':
            quiet = 1;
            break;
        case 'F':
            how.flags |= DISKIMG_CONVERT_OVERWRITE;
            break;
        default:
            return usage();
        }
    }
    if (argc - optind != 2 || how.format == DISKIMG_FORMAT_AUTO) {
        return usage();
    }

    cancel = diskimg_cancel_new();
    how.cancel = cancel;
    if (!quiet) {
        how.progress = progress;
        how.progress_user = &shown;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupted;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    /* Backing files are followed within the image's own directory, and nowhere else. */
    how_to_open.flags = DISKIMG_OPEN_REFERENCES;
    status = diskimg_open_path(argv[optind], &how_to_open, &image, &error);
    if (status == DISKIMG_OK) {
        status = diskimg_convert_to_path(image, argv[optind + 1], &how, &result, &error);
    }
    if (shown >= 0) {
        fprintf(stderr, "\n");
    }
    diskimg_close(image);
    diskimg_cancel_free(cancel);
    if (status != DISKIMG_OK) {
        return failed(argv[optind], status, error);
    }
    if (!quiet) {
        printf("%" PRIu64 " bytes: %" PRIu64 " written, %" PRIu64 " zeros\n", result.virtual_size, result.written,
               result.zeros);
    }
    return 0;
}
