/* Files whose callbacks behave as the input says: correct, failing, short, or too long. */
#include "harness.h"
#include <unistd.h>

enum { FAIL, NEGATIVE, TOO_MUCH, SHORT, EARLY_END, HOLES, BACKWARDS, LIE, FAULTS };

file source_file(const unsigned char *data, size_t length, unsigned char fault, int fault_at) {
    file made = {data, NULL, length, 0, fault, fault_at, 0, 0, 0};
    return made;
}

file target_file(size_t longest, unsigned char fault, int fault_at) {
    file made = {NULL, calloc(longest, 1), 0, longest, fault, fault_at, 0, 0, 0};
    MUST(made.bytes != NULL);
    return made;
}

void end_file(file *of) {
    MUST(of->closed == 1);
    free(of->bytes);
}

/* Returns the error of a call, if it is the one that fails. Targets are serial, so there are no data races here. */
static int called(file *of) {
    static const int errnos[] = {EIO, ENOSPC, ENOENT, EEXIST, EINTR, EINVAL, ECANCELED, 1 << 30};
    MUST(of->closed == 0);
    if (++of->calls != of->fault_at) {
        return 0;
    }
    switch (of->fault % FAULTS) {
    case FAIL:
        of->failed = errnos[of->fault / FAULTS % 8];
        break;
    case NEGATIVE:
        of->failed = -1 - of->fault;
        break;
    }
    return of->failed;
}

/* Returns true if a fault other than an errno is active, from the selected call on. */
static int has(const file *of, int fault) {
    return of->fault % FAULTS == fault && of->fault_at != 0 && of->calls >= of->fault_at;
}

static int read_some(void *user, void *buf, size_t len, uint64_t offset, size_t *nread) {
    file *of = user;
    int failed = called(of);
    MUST(len > 0);
    if (failed != 0) {
        return failed;
    }
    if (has(of, TOO_MUCH)) {
        *nread = len + 1 + of->fault;
        return 0;
    }
    *nread = 0;
    if (offset >= of->length || has(of, EARLY_END)) {
        return 0;
    }
    if (len > of->length - offset) {
        len = (size_t)(of->length - offset);
    }
    /* Not forever, because a disk may have millions of bytes. */
    if (has(of, SHORT) && of->calls < 2000) {
        len = (len + 99) / 100;
    }
    memcpy(buf, of->data + offset, len);
    *nread = len;
    return 0;
}

static int size_of_file(void *user, uint64_t *bytes) {
    file *of = user;
    int failed = called(of);
    *bytes = of->length;
    if (has(of, LIE)) {
        *bytes = of->fault & 128 ? UINT64_MAX : of->length + of->fault;
    }
    return failed;
}

static int data_of_file(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    file *of = user;
    int failed = called(of);
    *start = offset;
    *end = of->length;
    if (has(of, HOLES)) {
        *start = offset % 4000 < 1000 ? offset : offset / 4000 * 4000 + 4000;
        *end = *start / 4000 * 4000 + 1000;
        if (*start >= of->length) {
            *start = *end = of->length; /* no data is left */
        }
    } else if (has(of, BACKWARDS)) {
        *start = offset / 2;
        *end = of->fault & 128 ? 0 : offset;
    } else if (has(of, LIE)) {
        *start = *end = UINT64_MAX;
    }
    return failed;
}

static int write_all(void *user, const void *buf, size_t len, uint64_t offset) {
    file *of = user;
    int failed = called(of);
    MUST(len > 0);
    if (failed != 0) {
        return failed;
    }
    if (offset > of->longest || len > of->longest - offset) {
        return of->failed = EFBIG;
    }
    memcpy(of->bytes + offset, buf, len);
    if (offset + len > of->length) {
        of->length = offset + len;
    }
    return 0;
}

static int make_zero(void *user, uint64_t offset, uint64_t len) {
    file *of = user;
    int failed = called(of);
    MUST(len > 0 && offset + len > offset);
    if (failed != 0) {
        return failed;
    }
    if (offset > of->longest || len > of->longest - offset) {
        return of->failed = EFBIG;
    }
    memset(of->bytes + offset, 0, (size_t)len);
    if (offset + len > of->length) {
        of->length = offset + len;
    }
    return 0;
}

static int give_size(void *user, uint64_t bytes) {
    file *of = user;
    int failed = called(of);
    if (failed != 0) {
        return failed;
    }
    if (bytes > of->longest) {
        return of->failed = EFBIG;
    }
    of->length = bytes;
    return 0;
}

static int make_durable(void *user) {
    return called(user);
}

static void close_it(void *user) {
    ((file *)user)->closed++;
}

diskimg_io io_of(file *of, const steps *how) {
    diskimg_io io = DISKIMG_IO_INIT;
    io.flags = DISKIMG_IO_SERIAL;
    io.user = of;
    io.close = close_it;
    if (of->data != NULL) {
        io.pread = read_some;
        io.size = size_of_file;
        io.next_data = of->fault % FAULTS >= HOLES ? data_of_file : NULL;
    } else {
        io.pwrite = write_all;
        io.zero = how->target & 128 ? NULL : make_zero;
        io.set_size = how->target & 64 ? NULL : give_size;
        io.flush = make_durable;
    }
    return io;
}

folder new_folder(void) {
    folder made = {"/tmp/diskimg-fuzz-XXXXXX", "", ""};
    MUST(mkdtemp(made.name) != NULL);
    snprintf(made.disk, sizeof made.disk, "%.32s/disk", made.name);
    snprintf(made.extent, sizeof made.extent, "%.32s/disk-flat.vmdk", made.name);
    return made;
}

void end_folder(const folder *of, diskimg_status status) {
    MUST((unlink(of->disk) == 0) == (status == DISKIMG_OK));
    if (status == DISKIMG_OK) {
        unlink(of->extent); /* a flat VMDK has two files */
    }
    MUST(rmdir(of->name) == 0);
}
