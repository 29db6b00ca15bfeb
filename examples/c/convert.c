/* Converts a disk image. Shows progress, stops on Ctrl-C, and leaves no partial target.
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

/* Called on the thread that converts. A non-zero result cancels the conversion. */
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
    diskimg_open_options open_options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_convert_result result = DISKIMG_CONVERT_RESULT_INIT;
    diskimg_target target = DISKIMG_TARGET_INIT;
    diskimg_image *image = NULL;
    diskimg_error *error = NULL;
    diskimg_status status;
    struct sigaction action;
    int option, shown = -1, quiet = 0;

    options.format = DISKIMG_FORMAT_RAW;
    while ((option = getopt(argc, argv, "O:f:o:cqF")) != -1) {
        switch (option) {
        case 'O':
            options.format = diskimg_format_by_name(optarg);
            break;
        case 'f':
            open_options.format = diskimg_format_by_name(optarg);
            if (open_options.format == DISKIMG_FORMAT_AUTO) {
                return usage(); /* never guess the format after a wrong name */
            }
            break;
        case 'o':
            options.settings = optarg;
            break;
        case 'c':
            options.flags |= DISKIMG_CONVERT_COMPRESS;
            break;
        case 'q':
            quiet = 1;
            break;
        case 'F':
            options.flags |= DISKIMG_CONVERT_OVERWRITE;
            break;
        default:
            return usage();
        }
    }
    if (argc - optind != 2 || options.format == DISKIMG_FORMAT_AUTO) {
        return usage();
    }

    cancel = diskimg_cancel_new();
    options.cancel = cancel;
    if (!quiet) {
        options.progress = progress;
        options.progress_user = &shown;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupted;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    /* Opens backing files only in the directory of the image. */
    open_options.flags = DISKIMG_OPEN_REFERENCES;
    open_options.cancel = cancel; /* a compressed image is decompressed while it is opened */
    status = diskimg_open_path(argv[optind], &open_options, &image, &error);
    if (status == DISKIMG_OK) {
        target.path = argv[optind + 1];
        status = diskimg_convert(image, &target, &options, &result, &error);
    }
    if (shown >= 0) {
        fprintf(stderr, "\n");
    }
    diskimg_close(image);
    /* From here on a signal ends the program, because the flag is freed. */
    action.sa_handler = SIG_DFL;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
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
