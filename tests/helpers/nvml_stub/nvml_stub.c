/* A stand-in for the NVIDIA driver's libnvidia-ml.so.1, with GPUs that behave as a scenario file says.
 *
 * Build:     cc -shared -fPIC -o libnvidia-ml.so.1 nvml_stub.c
 * Load:      LD_LIBRARY_PATH=FOLDER, or mount it over the library's place in a container.
 * Scenario:  NVML_STUB=FILE names it; without one, a Titan Xp at work that nothing disturbs.
 *
 * A scenario's lines are "SECONDS FIELD VALUE", in order of time: from so many seconds after nvmlInit on, the field has
 * that value. "!CODE" as value makes the field's calls return that NVML error. The fields are those of `defaults`
 * below; "init" and "device" carry only errors, for nvmlInit and for every call afterwards. "# …" is a comment.
 * "FIELD@1" is the field of GPU 1 alone.
 *
 * NVML_STUB_TIME=FILE keeps the scenario's time in a file of one double, which a simulated CUDA device reads as well.
 * It then stands still but for the energy counter: each reading first adds half a second. The watch over an evaluation
 * reads that counter before and after each timed block only, so with a time of -0.5 at the start block N lasts from N
 * to N + 0.5, however long this machine takes.
 *
 * Signatures and numbers are those of NVIDIA's public nvml.h. A MIG device has a UUID, a name, memory and processes of
 * its own; all else is asked of its GPU, and a MIG handle gives NOT_SUPPORTED, as utilisation does in MIG mode.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
};

typedef struct { double at; char field[32]; char value[128]; int gpu; } Line;
typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { int gpu; int mig; } Device;
typedef struct {
    unsigned int field, scope;
    long long timestamp, latency_us;
    int type, error;
    union { unsigned int number; unsigned long long widest; } value;
} FieldValue;
typedef struct { unsigned int pid; unsigned long long memory; unsigned int gpu_instance, compute_instance; } Process;

static const struct { const char *field, *value; } defaults[] = {
    {"init", "0"}, {"device", "0"}, {"count", "1"},
    {"driver", "560.35.03"}, {"cuda", "12060"}, {"name", "NVIDIA TITAN Xp"},
    {"uuid", "GPU-0e5a0e5a-0000-4000-8000-00000000000%d"},
    {"capability", "61"}, {"memory_mib", "12288"}, {"memory_used_mib", "300"},
    {"sm_mhz", "1582"}, {"memory_mhz", "5508"}, {"max_sm_mhz", "1911"}, {"max_memory_mhz", "5705"},
    {"pstate", "2"}, {"temperature_c", "70"}, {"power_w", "180"}, {"power_limit_w", "250"},
    {"utilisation_pct", "97"}, {"fan_pct", "45"}, {"persistence", "1"},
    {"reasons", "0x0"},        /* both names of the call */
    {"event_reasons", "0"},    /* "!13": a driver that knows the old name only */
    {"default_power_limit_w", "250"},
    {"module_power_w", "!3"},  /* of the module of GPU and processor, as on a GH200 */
    {"ecc", "!3"},             /* a Titan Xp has none */
    {"energy", "!3"},          /* "1": a counter that adds up power_w, as Volta and later have */
    {"processes", "-"},        /* PIDs with commas between; "-": none */
    {"mig", "!3"},             /* UUIDs of its MIG devices with commas between; "-": in MIG mode without any */
    {"mig_parent", "0"},       /* carries only errors, for the way from a MIG device to its GPU */
    {"mig_processes", "-"},    /* of each MIG device */
    {"mig_memory_used_mib", "38"},
};
enum { DEFAULTS = sizeof defaults / sizeof *defaults, MOST = 1024, GPUS = 8, MIGS = 7, WHOLE = MIGS };

static Line lines[MOST];
static Device devices[GPUS][MIGS + 1];
static int count_of_lines, initialised;
static double began, counted_until[GPUS], counted_mj[GPUS], set_time = -1, *shared_time;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* The scenario's time: seconds since nvmlInit, unless a test has set it or keeps it in a file. */
static double now_s(void) { return shared_time ? *shared_time : set_time >= 0 ? set_time : seconds() - began; }

/* Not NVML's: from now on the scenario stands at this time, so that a test depends on no clock. */
void nvmlStubSetTime(double at) { set_time = at; }

static void give_up(const char *what, const char *text)
{
    fprintf(stderr, "nvml_stub: %s: %s\n", what, text);
    abort();
}

static void share_time(void)
{
    const char *path = getenv("NVML_STUB_TIME");
    int file;
    if (!path || shared_time)
        return;
    file = open(path, O_RDWR);
    shared_time = mmap(NULL, sizeof *shared_time, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || shared_time == MAP_FAILED)
        give_up("cannot be shared", path);
    close(file);
}

static const char *default_of(const char *field)
{
    for (int i = 0; i < DEFAULTS; i++)
        if (!strcmp(defaults[i].field, field))
            return defaults[i].value;
    give_up("no such field", field);
    return NULL;
}

static void read_scenario(void)
{
    const char *path = getenv("NVML_STUB");
    char text[256], *at;
    FILE *file;

    count_of_lines = 0;
    if (!path)
        return;
    if (!(file = fopen(path, "r")))
        give_up("cannot be read", path);
    while (fgets(text, sizeof text, file)) {
        Line *line = &lines[count_of_lines];
        if (text[strspn(text, " \t\r\n")] == '\0' || text[0] == '#')
            continue;
        if (count_of_lines == MOST || sscanf(text, "%lf %31s %127[^\n]", &line->at, line->field, line->value) != 3)
            give_up("not SECONDS FIELD VALUE, or too many lines", text);
        line->gpu = WHOLE;
        if ((at = strchr(line->field, '@'))) {
            line->gpu = atoi(at + 1);
            *at = '\0';
        }
        default_of(line->field);
        count_of_lines++;
    }
    fclose(file);
}

static const char *value_at(const char *field, int gpu, double at)
{
    const char *value = default_of(field);
    for (int i = 0; i < count_of_lines; i++)
        if (lines[i].at <= at && (lines[i].gpu == WHOLE || lines[i].gpu == gpu) && !strcmp(lines[i].field, field))
            value = lines[i].value;
    return value;
}

static int error_in(const char *value) { return value[0] == '!' ? atoi(value + 1) : SUCCESS; }

/* The field's value now; returns an NVML error where the scenario wants one. */
static int ask(int gpu, const char *field, const char **value)
{
    double now = now_s();
    int error;
    if (!initialised)
        return UNINITIALIZED;
    if ((error = error_in(value_at("device", gpu, now))))
        return error;
    *value = value_at(field, gpu, now);
    return error_in(*value);
}

static int ask_number(int gpu, const char *field, double scale, unsigned int *result)
{
    const char *value;
    int error = ask(gpu, field, &value);
    if (!error)
        *result = (unsigned int)(atof(value) * scale + 0.5);
    return error;
}

static int ask_text(int gpu, const char *field, char *text, unsigned int length)
{
    const char *value;
    int error = ask(gpu, field, &value);
    if (error)
        return error;
    return snprintf(text, length, "%s", value) < (int)length ? SUCCESS : INSUFFICIENT_SIZE;
}

/* What only a whole GPU tells. */
static int ask_gpu(const Device *d, const char *field, double scale, unsigned int *result)
{
    return d->mig == WHOLE ? ask_number(d->gpu, field, scale, result) : NOT_SUPPORTED;
}

/* The part with this number of a list with commas between; 0 where it has fewer. */
static int part_of(const char *list, int number, char *text, unsigned int length)
{
    for (; number; number--) {
        if (!(list = strchr(list, ',')))
            return 0;
        list++;
    }
    snprintf(text, length, "%.*s", (int)strcspn(list, ","), list);
    return 1;
}

static int uuid_of(const Device *d, char *text, unsigned int length)
{
    const char *value;
    int error = ask(d->gpu, d->mig == WHOLE ? "uuid" : "mig", &value);
    if (error)
        return error;
    if (d->mig != WHOLE)
        return part_of(value, d->mig, text, length) ? SUCCESS : NOT_FOUND;
    return snprintf(text, length, value, d->gpu) < (int)length ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlInitWithFlags(unsigned int flags)
{
    int error;
    (void)flags;
    if (!initialised) {
        read_scenario();
        share_time();
        began = seconds();
        for (int gpu = 0; gpu < GPUS; gpu++) {
            counted_until[gpu] = counted_mj[gpu] = 0;
            for (int mig = 0; mig <= WHOLE; mig++)
                devices[gpu][mig] = (Device){gpu, mig};
        }
    }
    error = error_in(value_at("init", WHOLE, now_s()));
    initialised += !error;
    return error;
}
int nvmlInit(void) { return nvmlInitWithFlags(0); }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void)
{
    if (!initialised)
        return UNINITIALIZED;
    initialised--;
    return SUCCESS;
}

const char *nvmlErrorString(int code)
{
    static char text[32];
    snprintf(text, sizeof text, "NVML error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *text, unsigned int length) { return ask_text(WHOLE, "driver", text, length); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return ask_number(WHOLE, "cuda", 1, (unsigned int *)version); }
int nvmlDeviceGetCount_v2(unsigned int *count) { return ask_number(WHOLE, "count", 1, count); }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Device **device)
{
    unsigned int count;
    int error = ask_number(WHOLE, "count", 1, &count);
    if (error)
        return error;
    if (index >= count || index >= GPUS)
        return INVALID_ARGUMENT;
    *device = &devices[index][WHOLE];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device)
{
    unsigned int count;
    char text[128];
    int error = ask_number(WHOLE, "count", 1, &count);
    if (error)
        return error;
    for (unsigned int gpu = 0; gpu < count && gpu < GPUS; gpu++)
        for (int mig = 0; mig <= WHOLE; mig++) {
            *device = &devices[gpu][mig];
            if (!uuid_of(*device, text, sizeof text) && !strcmp(uuid, text))
                return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceIsMigDeviceHandle(const Device *d, unsigned int *is_mig)
{
    *is_mig = d->mig != WHOLE;
    return SUCCESS;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(const Device *d, Device **device)
{
    unsigned int unused;
    if (d->mig == WHOLE)
        return NOT_FOUND;
    *device = &devices[d->gpu][WHOLE];
    return ask_number(d->gpu, "mig_parent", 1, &unused);
}

int nvmlDeviceGetName(const Device *d, char *text, unsigned int length)
{
    int error = ask_text(d->gpu, "name", text, length);
    if (!error && d->mig != WHOLE)
        strncat(text, " MIG 1g.5gb", length - strlen(text) - 1);
    return error;
}

int nvmlDeviceGetUUID(const Device *d, char *text, unsigned int length) { return uuid_of(d, text, length); }

int nvmlDeviceGetCudaComputeCapability(const Device *d, int *major, int *minor)
{
    unsigned int both;
    int error = ask_number(d->gpu, "capability", 1, &both);
    if (!error) {
        *major = both / 10;
        *minor = both % 10;
    }
    return error;
}

int nvmlDeviceGetMemoryInfo(const Device *d, Memory *memory)
{
    unsigned int total, used;
    int error = ask_number(d->gpu, "memory_mib", 1, &total);
    if (error || (error = ask_number(d->gpu, d->mig == WHOLE ? "memory_used_mib" : "mig_memory_used_mib", 1, &used)))
        return error;
    memory->total = (unsigned long long)total << 20;
    memory->used = (unsigned long long)used << 20;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(const Device *d, Utilization *rates)
{
    const char *migs;
    rates->memory = 0;
    if (d->mig != WHOLE || !ask(d->gpu, "mig", &migs))
        return NOT_SUPPORTED;
    return ask_number(d->gpu, "utilisation_pct", 1, &rates->gpu);
}

int nvmlDeviceGetTemperature(const Device *d, int sensor, unsigned int *degrees)
{
    return sensor ? INVALID_ARGUMENT : ask_gpu(d, "temperature_c", 1, degrees);
}

int nvmlDeviceGetClockInfo(const Device *d, int clock, unsigned int *mhz)
{
    return ask_gpu(d, clock == 2 ? "memory_mhz" : "sm_mhz", 1, mhz);
}

int nvmlDeviceGetMaxClockInfo(const Device *d, int clock, unsigned int *mhz)
{
    return ask_gpu(d, clock == 2 ? "max_memory_mhz" : "max_sm_mhz", 1, mhz);
}

int nvmlDeviceGetPowerUsage(const Device *d, unsigned int *mw) { return ask_gpu(d, "power_w", 1000, mw); }
int nvmlDeviceGetEnforcedPowerLimit(const Device *d, unsigned int *mw) { return ask_gpu(d, "power_limit_w", 1000, mw); }
int nvmlDeviceGetPerformanceState(const Device *d, unsigned int *state) { return ask_gpu(d, "pstate", 1, state); }
int nvmlDeviceGetPowerManagementDefaultLimit(const Device *d, unsigned int *mw)
{
    return ask_gpu(d, "default_power_limit_w", 1000, mw);
}

/* Of all fields the instantaneous power of the module alone. */
int nvmlDeviceGetFieldValues(const Device *d, int count, FieldValue *values)
{
    for (int i = 0; i < count; i++)
        values[i].error = values[i].field == 186 && values[i].scope == 1
            ? ask_gpu(d, "module_power_w", 1000, &values[i].value.number) : NOT_SUPPORTED;
    return initialised ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceGetFanSpeed(const Device *d, unsigned int *percent) { return ask_gpu(d, "fan_pct", 1, percent); }
int nvmlDeviceGetPersistenceMode(const Device *d, unsigned int *on) { return ask_gpu(d, "persistence", 1, on); }

int nvmlDeviceGetEccMode(const Device *d, unsigned int *current, unsigned int *pending)
{
    int error = ask_gpu(d, "ecc", 1, current);
    if (!error)
        *pending = *current;
    return error;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(const Device *d, unsigned long long *reasons)
{
    const char *value;
    int error = d->mig == WHOLE ? ask(d->gpu, "reasons", &value) : NOT_SUPPORTED;
    if (!error)
        *reasons = strtoull(value, NULL, 0);
    return error;
}

int nvmlDeviceGetCurrentClocksEventReasons(const Device *d, unsigned long long *reasons)
{
    const char *value;
    int error = ask(d->gpu, "event_reasons", &value);
    return error ? error : nvmlDeviceGetCurrentClocksThrottleReasons(d, reasons);
}

/* The integral of power_w over the scenario's time from 0 on, in millijoules, in steps of a millisecond. */
int nvmlDeviceGetTotalEnergyConsumption(const Device *d, unsigned long long *millijoules)
{
    unsigned int supported;
    double *until = &counted_until[d->gpu], now;
    int error = ask_gpu(d, "energy", 1, &supported);
    if (error)
        return error;
    if (shared_time)
        *shared_time += 0.5;
    for (now = now_s(); *until < now; *until += 1e-3)
        counted_mj[d->gpu] += atof(value_at("power_w", d->gpu, *until));
    *millijoules = (unsigned long long)counted_mj[d->gpu];
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(const Device *d, unsigned int *count, Process *processes)
{
    const char *value, *rest;
    char *end;
    unsigned int found = 0, room = processes ? *count : 0;
    int error = ask(d->gpu, d->mig == WHOLE ? "processes" : "mig_processes", &value);
    if (error)
        return error;
    for (rest = value; *rest && *rest != '-'; rest = *end ? end + 1 : end) {
        unsigned int pid = strtoul(rest, &end, 10);
        if (end == rest)
            give_up("not a list of PIDs", value);
        if (found < room)
            processes[found] = (Process){.pid = pid, .memory = 64u << 20};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}
