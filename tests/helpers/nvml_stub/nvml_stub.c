/* A stand-in for the NVIDIA driver's libnvidia-ml.so.1, with one GPU that behaves as a scenario file says.
 *
 * Build:     cc -shared -fPIC -o libnvidia-ml.so.1 nvml_stub.c
 * Load:      LD_LIBRARY_PATH=FOLDER, or mount it over the library's place in a container.
 * Scenario:  NVML_STUB=FILE names it; without one, a Titan Xp at work that nothing disturbs.
 *
 * A scenario's lines are "SECONDS FIELD VALUE", in order of time: from so many seconds after nvmlInit on, the field has
 * that value. "!CODE" as value makes the field's calls return that NVML error. The fields are those of `defaults`
 * below; "init" and "device" carry only errors, for nvmlInit and for every call afterwards. "# …" is a comment.
 *
 * Signatures and numbers are those of NVIDIA's public nvml.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
};

typedef struct { double at; char field[32]; char value[128]; } Line;
typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int pid; unsigned long long memory; unsigned int gpu_instance, compute_instance; } Process;

static const Line defaults[] = {
    {0, "init", "0"}, {0, "device", "0"}, {0, "count", "1"},
    {0, "driver", "560.35.03"}, {0, "cuda", "12060"}, {0, "name", "NVIDIA TITAN Xp"},
    {0, "uuid", "GPU-0e5a0e5a-0000-4000-8000-000000000000"},
    {0, "capability", "61"}, {0, "memory_mib", "12288"}, {0, "memory_used_mib", "300"},
    {0, "sm_mhz", "1582"}, {0, "memory_mhz", "5508"}, {0, "max_sm_mhz", "1911"}, {0, "max_memory_mhz", "5705"},
    {0, "pstate", "2"}, {0, "temperature_c", "70"}, {0, "power_w", "180"}, {0, "power_limit_w", "250"},
    {0, "utilisation_pct", "97"}, {0, "fan_pct", "45"}, {0, "persistence", "1"},
    {0, "reasons", "0x0"},        /* both names of the call */
    {0, "event_reasons", "0"},    /* "!13": a driver that knows the old name only */
    {0, "ecc", "!3"},             /* a Titan Xp has none */
    {0, "energy", "!3"},          /* "1": a counter that adds up power_w, as Volta and later have */
    {0, "processes", "-"},        /* PIDs with commas between; "-": none */
};
enum { DEFAULTS = sizeof defaults / sizeof *defaults, MOST = 1024 };

static Line lines[MOST];
static int count_of_lines, initialised, device_0;
static double began, counted_until, counted_mj, set_time = -1;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* The scenario's time: seconds since nvmlInit, unless a test has set it. */
static double now_s(void) { return set_time >= 0 ? set_time : seconds() - began; }

/* Not NVML's: from now on the scenario stands at this time, so that a test depends on no clock. */
void nvmlStubSetTime(double at) { set_time = at; }

static void give_up(const char *what, const char *text)
{
    fprintf(stderr, "nvml_stub: %s: %s\n", what, text);
    abort();
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
    char text[256];
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
        default_of(line->field);
        count_of_lines++;
    }
    fclose(file);
}

static const char *value_at(const char *field, double at)
{
    const char *value = default_of(field);
    for (int i = 0; i < count_of_lines; i++)
        if (lines[i].at <= at && !strcmp(lines[i].field, field))
            value = lines[i].value;
    return value;
}

static int error_in(const char *value) { return value[0] == '!' ? atoi(value + 1) : SUCCESS; }

/* The field's value now; returns an NVML error where the scenario wants one. */
static int ask(const char *field, const char **value)
{
    double now = now_s();
    int error;
    if (!initialised)
        return UNINITIALIZED;
    if ((error = error_in(value_at("device", now))))
        return error;
    *value = value_at(field, now);
    return error_in(*value);
}

static int ask_number(const char *field, double scale, unsigned int *result)
{
    const char *value;
    int error = ask(field, &value);
    if (!error)
        *result = (unsigned int)(atof(value) * scale + 0.5);
    return error;
}

static int ask_text(const char *field, char *text, unsigned int length)
{
    const char *value;
    int error = ask(field, &value);
    if (error)
        return error;
    return snprintf(text, length, "%s", value) < (int)length ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlInitWithFlags(unsigned int flags)
{
    int error;
    (void)flags;
    if (!initialised) {
        read_scenario();
        began = seconds();
        counted_until = counted_mj = 0;
    }
    error = error_in(value_at("init", now_s()));
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

int nvmlSystemGetDriverVersion(char *text, unsigned int length) { return ask_text("driver", text, length); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return ask_number("cuda", 1, (unsigned int *)version); }
int nvmlDeviceGetCount_v2(unsigned int *count) { return ask_number("count", 1, count); }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device)
{
    unsigned int count;
    int error = ask_number("count", 1, &count);
    if (error)
        return error;
    *device = &device_0;
    return index < count ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
    const char *value;
    int error = ask("uuid", &value);
    if (error)
        return error;
    *device = &device_0;
    return strcmp(uuid, value) ? NOT_FOUND : SUCCESS;
}

int nvmlDeviceGetName(void *d, char *text, unsigned int length) { (void)d; return ask_text("name", text, length); }
int nvmlDeviceGetUUID(void *d, char *text, unsigned int length) { (void)d; return ask_text("uuid", text, length); }

int nvmlDeviceGetCudaComputeCapability(void *d, int *major, int *minor)
{
    unsigned int both;
    int error = ask_number("capability", 1, &both);
    (void)d;
    if (!error) {
        *major = both / 10;
        *minor = both % 10;
    }
    return error;
}

int nvmlDeviceGetMemoryInfo(void *d, Memory *memory)
{
    unsigned int total, used;
    int error = ask_number("memory_mib", 1, &total);
    (void)d;
    if (error || (error = ask_number("memory_used_mib", 1, &used)))
        return error;
    memory->total = (unsigned long long)total << 20;
    memory->used = (unsigned long long)used << 20;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *d, Utilization *rates)
{
    (void)d;
    rates->memory = 0;
    return ask_number("utilisation_pct", 1, &rates->gpu);
}

int nvmlDeviceGetTemperature(void *d, int sensor, unsigned int *degrees)
{
    (void)d;
    return sensor ? INVALID_ARGUMENT : ask_number("temperature_c", 1, degrees);
}

int nvmlDeviceGetClockInfo(void *d, int clock, unsigned int *mhz)
{
    (void)d;
    return ask_number(clock == 2 ? "memory_mhz" : "sm_mhz", 1, mhz);
}

int nvmlDeviceGetMaxClockInfo(void *d, int clock, unsigned int *mhz)
{
    (void)d;
    return ask_number(clock == 2 ? "max_memory_mhz" : "max_sm_mhz", 1, mhz);
}

int nvmlDeviceGetPowerUsage(void *d, unsigned int *mw) { (void)d; return ask_number("power_w", 1000, mw); }
int nvmlDeviceGetEnforcedPowerLimit(void *d, unsigned int *mw) { (void)d; return ask_number("power_limit_w", 1000, mw); }
int nvmlDeviceGetPerformanceState(void *d, unsigned int *state) { (void)d; return ask_number("pstate", 1, state); }
int nvmlDeviceGetFanSpeed(void *d, unsigned int *percent) { (void)d; return ask_number("fan_pct", 1, percent); }
int nvmlDeviceGetPersistenceMode(void *d, unsigned int *on) { (void)d; return ask_number("persistence", 1, on); }

int nvmlDeviceGetEccMode(void *d, unsigned int *current, unsigned int *pending)
{
    int error = ask_number("ecc", 1, current);
    (void)d;
    if (!error)
        *pending = *current;
    return error;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, unsigned long long *reasons)
{
    const char *value;
    int error = ask("reasons", &value);
    (void)d;
    if (!error)
        *reasons = strtoull(value, NULL, 0);
    return error;
}

int nvmlDeviceGetCurrentClocksEventReasons(void *d, unsigned long long *reasons)
{
    const char *value;
    int error = ask("event_reasons", &value);
    return error ? error : nvmlDeviceGetCurrentClocksThrottleReasons(d, reasons);
}

/* The integral of power_w since nvmlInit, in millijoules, in steps of a millisecond. */
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *millijoules)
{
    const char *value;
    int error = ask("energy", &value);
    double now = now_s();
    (void)d;
    if (error)
        return error;
    for (; counted_until < now; counted_until += 1e-3)
        counted_mj += atof(value_at("power_w", counted_until));
    *millijoules = (unsigned long long)counted_mj;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned int *count, Process *processes)
{
    const char *value, *rest;
    char *end;
    unsigned int found = 0, room = processes ? *count : 0;
    int error = ask("processes", &value);
    (void)d;
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
