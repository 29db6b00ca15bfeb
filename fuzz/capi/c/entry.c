/* One input of the fuzz target: instructions, followed by untrusted bytes. The target uses the public header, and
 * checks every rule of the header that a program can observe. */
#include "harness.h"

int diskimg_fuzz_entry(const unsigned char *data, size_t length);

static void open_in_memory(const steps *how, const unsigned char *data, size_t length) {
    diskimg_open_options options = opening(how);
    diskimg_image *image;
    diskimg_status status;
    int valid;
    room given = odd_copy(how, &options, sizeof options, &valid);

    OPEN(status, image,
         diskimg_open_memory(data, length, (const diskimg_open_options *)given.bytes, &image, &error));
    free_room(given);
    MUST(valid || status == DISKIMG_ERR_INVALID_ARGUMENT);
    if (status == DISKIMG_OK) {
        use_image(image, how, 1);
    }
    diskimg_close(image);
}

static void open_by_callbacks(const steps *how, const unsigned char *data, size_t length) {
    diskimg_open_options options = opening(how);
    file source = source_file(data, length, how->fault, how->fault_at);
    diskimg_io io = io_of(&source, how);
    diskimg_image *image;
    diskimg_status status;
    int valid;
    room given = odd_copy(how, &io, sizeof io, &valid);

    OPEN(status, image, diskimg_open_io((const diskimg_io *)given.bytes, &options, &image, &error));
    free_room(given);
    MUST(valid || status == DISKIMG_ERR_INVALID_ARGUMENT);
    if (status == DISKIMG_OK) {
        /* A compressed file may be closed after decompression. */
        MUST(source.closed <= 1);
        use_image(image, how, how->fault_at == 0);
    }
    diskimg_close(image);
    /* A diskimg_io without a valid size is never read. */
    MUST(source.closed == valid);
}

int diskimg_fuzz_entry(const unsigned char *data, size_t length) {
    steps how;

    memset(&how, 0, sizeof how);
    memcpy(&how, data, length < INSTRUCTIONS ? length : INSTRUCTIONS);
    data += length < INSTRUCTIONS ? length : INSTRUCTIONS;
    length -= length < INSTRUCTIONS ? length : INSTRUCTIONS;
    switch (how.mode % 8) {
    case 0:
    case 5:
        open_in_memory(&how, data, length);
        break;
    case 1:
    case 6:
        open_by_callbacks(&how, data, length);
        break;
    case 2:
        probe_stream(&how, data, length);
        break;
    case 3:
    case 7:
        convert_stream(&how, data, length);
        break;
    default:
        write_image(&how, data, length);
    }
    return 0;
}
