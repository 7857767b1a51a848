// Measures one .tflite file with libLiteRt.so's C API and prints the transcript that sdk/check/transcript.py reads.
//
//   runner MODEL --warmup N --runs N --seconds S --deadline S [--input DTYPE:SHAPE:FILE ...] [--against MODEL]
//   runner MODEL --profile N --deadline S [--input DTYPE:SHAPE:FILE ...]
//
// The second measures each operator over N runs instead, and prints what sdk/check/profile.py reads.
//
// The library is opened by name from the working directory, so that this file needs no headers of it: the prototypes
// below state the ABI of LiteRT 2.3. The process ends itself by SIGALRM when its deadline is over.

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 32, KEPT = 1 << 18, POINTS = 64, CPU = 1, READ = 0, WRITE = 1, THREADS = 2, TURN = 4 };
enum { OPERATOR = 2, DELEGATED = 4 | 8 };  // types of events: outside and inside of a delegate

typedef struct {
  int32_t element;
  uint32_t rank;  // the low seven bits
  int32_t dims[8];
  uint32_t strides[8];
} TensorType;

typedef struct {
  char dtype[16], file[256];
} Input;

typedef struct {
  void *compiled, *inputs[MOST], *outputs[MOST];
  int gives;
} Model;

typedef struct {
  const char *tag;
  int type;
  uint64_t start_us, elapsed_us;
  int64_t memory[6];
  uint64_t metadata[2];  // the first: the number of the operator, of its graph or of its delegate's part
  int source;
} Event;

static const struct {
  int element, bytes;
  const char *name;
} DTYPES[] = {
    {1, 4, "float32"}, {2, 4, "int32"}, {3, 1, "uint8"},   {4, 8, "int64"},   {6, 1, "bool"},
    {7, 2, "int16"},   {9, 1, "int8"},  {10, 2, "float16"}, {11, 8, "float64"},
};

static Input inputs[MOST];
static int input_count, warmup, runs, profiled;
static double seconds_least, deadline;
static const char *against;
static void *library;
static int64_t *samples;
static long points[POINTS + 1];

static void refuse(const char *why, const char *what) {
  printf("error %s%s\n", why, what);
  exit(1);
}

static void *symbol(const char *name) {
  void *found = dlsym(library, name);
  if (!found) refuse("libLiteRt.so has no ", name);
  return found;
}

#define CALL(name, types, ...)                                              \
  do {                                                                      \
    if (((int (*) types)symbol(#name))(__VA_ARGS__)) refuse(#name, " failed"); \
  } while (0)

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long status_bytes(const char *key) {
  char line[256];
  long found = -1;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (!strncmp(line, key, strlen(key))) found = atol(line + strlen(key)) * 1024;
  if (file) fclose(file);
  return found;
}

// Makes the library's code resident: how much of it a run touches is decided by how the system keeps the file.
static void touch_code(void) {
  char line[512], mode[8];
  unsigned long first, last;
  long step = sysconf(_SC_PAGESIZE);
  FILE *file = fopen("/proc/self/maps", "r");
  while (file && fgets(line, sizeof line, file)) {
    if (!strstr(line, "libLiteRt.so") || sscanf(line, "%lx-%lx %7s", &first, &last, mode) != 3) continue;
    if (strcmp(mode, "r-xp") && strcmp(mode, "r--p")) continue;
    for (unsigned long page = first; page < last; page += (unsigned long)step) (void)*(volatile const char *)page;
  }
  if (file) fclose(file);
}

static void reset_peak(void) {
  int file = open("/proc/self/clear_refs", O_WRONLY);
  if (file >= 0) {
    if (write(file, "5", 1) != 1) { /* then the peak is that since the start, whose base is lower than this one */ }
    close(file);
  }
}

static int dtype_of(int element) {
  for (unsigned i = 0; i < sizeof DTYPES / sizeof *DTYPES; i++)
    if (DTYPES[i].element == element) return (int)i;
  refuse("the file has a tensor of a type that is not supported", "");
  return 0;
}

static size_t elements(const TensorType *type) {
  size_t count = 1;
  for (uint32_t i = 0; i < (type->rank & 0x7f); i++) count *= (size_t)type->dims[i];
  return count;
}

// Fill a buffer from the input's file; int64 narrows to int32 where the file takes that.
static void fill(const Input *tensor, void *buffer, const TensorType *type) {
  int wanted = dtype_of(type->element);
  size_t count = elements(type);
  int narrow = !strcmp(tensor->dtype, "int64") && type->element == 2;
  if (!narrow && strcmp(tensor->dtype, DTYPES[wanted].name)) refuse("an input has another type than the file takes: ", tensor->dtype);
  size_t bytes = count * (narrow ? 8 : (size_t)DTYPES[wanted].bytes);
  unsigned char *data = malloc(bytes + 1);
  FILE *file = fopen(tensor->file, "rb");
  if (!file || fread(data, 1, bytes + 1, file) != bytes) refuse("an input has another size than the file takes: ", tensor->file);
  fclose(file);
  if (narrow)
    for (size_t i = 0; i < count; i++) ((int32_t *)data)[i] = (int32_t)((int64_t *)data)[i];
  void *place;
  CALL(LiteRtLockTensorBuffer, (void *, void **, int), buffer, &place, WRITE);
  memcpy(place, data, count * (size_t)DTYPES[wanted].bytes);
  CALL(LiteRtUnlockTensorBuffer, (void *), buffer);
  free(data);
}

static void *make_buffer(void *environment, void *requirements, const TensorType *type) {
  void *buffer;
  CALL(LiteRtCreateManagedTensorBufferFromRequirements, (void *, const TensorType *, void *, void **), environment, type,
       requirements, &buffer);
  return buffer;
}

static void add_options(void *made, const char *part, const char *words) {
  void *opaque;
  CALL(LiteRtCreateOpaqueOptions, (const char *, void *, void (*)(void *), void **), part, strdup(words), free, &opaque);
  CALL(LiteRtAddOpaqueOptions, (void *, void *), made, opaque);
}

static void *options(void) {
  void *made;
  char words[32];
  snprintf(words, sizeof words, "num_threads = %d\n", THREADS);
  CALL(LiteRtCreateOptions, (void **), &made);
  CALL(LiteRtSetOptionsHardwareAccelerators, (void *, int), made, CPU);
  add_options(made, "xnnpack", words);
  if (profiled) add_options(made, "runtime_options_string", "enable_profiling = true\n");
  return made;
}

// Open the file, make the buffers of signature 0 and fill the inputs.
static void load(void *environment, const char *path, Model *made) {
  void *model, *signature, *tensor, *requirements;
  size_t takes, gives;
  TensorType type;
  CALL(LiteRtCreateModelFromFile, (void *, const char *, void **), environment, path, &model);
  CALL(LiteRtCreateCompiledModel, (void *, void *, void *, void **), environment, model, options(), &made->compiled);
  CALL(LiteRtGetModelSignature, (void *, size_t, void **), model, 0, &signature);
  CALL(LiteRtGetNumSignatureInputs, (void *, size_t *), signature, &takes);
  CALL(LiteRtGetNumSignatureOutputs, (void *, size_t *), signature, &gives);
  if (takes != (size_t)input_count || gives > MOST) refuse("the file takes another number of inputs than were recorded", "");
  for (size_t i = 0; i < takes + gives; i++) {
    int in = i < takes;
    size_t place = in ? i : i - takes;
    if (in) {
      CALL(LiteRtGetSignatureInputTensorByIndex, (void *, size_t, void **), signature, place, &tensor);
      CALL(LiteRtGetCompiledModelInputBufferRequirements, (void *, size_t, size_t, void **), made->compiled, 0, place, &requirements);
    } else {
      CALL(LiteRtGetSignatureOutputTensorByIndex, (void *, size_t, void **), signature, place, &tensor);
      CALL(LiteRtGetCompiledModelOutputBufferRequirements, (void *, size_t, size_t, void **), made->compiled, 0, place, &requirements);
    }
    CALL(LiteRtGetRankedTensorType, (void *, TensorType *), tensor, &type);
    void *buffer = (in ? made->inputs : made->outputs)[place] = make_buffer(environment, requirements, &type);
    if (in) fill(&inputs[place], buffer, &type);
  }
  made->gives = (int)gives;
}

static void run(Model *model) {
  static int (*invoke)(void *, size_t, size_t, void **, size_t, void **);
  if (!invoke) invoke = (int (*)(void *, size_t, size_t, void **, size_t, void **))symbol("LiteRtRunCompiledModel");
  if (invoke(model->compiled, 0, (size_t)input_count, model->inputs, (size_t)model->gives, model->outputs))
    refuse("the runtime failed to run", "");
}

static int64_t timed(Model *model) {
  int64_t start = now();
  run(model);
  return now() - start;
}

static void write_output(void *buffer, int place) {
  TensorType type;
  void *data;
  char name[32];
  CALL(LiteRtGetTensorBufferTensorType, (void *, TensorType *), buffer, &type);
  int dtype = dtype_of(type.element);
  size_t bytes = elements(&type) * (size_t)DTYPES[dtype].bytes;
  snprintf(name, sizeof name, "output_%03d.bin", place);
  CALL(LiteRtLockTensorBuffer, (void *, void **, int), buffer, &data, READ);
  FILE *file = fopen(name, "wb");
  if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file)) refuse("an output cannot be written: ", name);
  CALL(LiteRtUnlockTensorBuffer, (void *), buffer);
  printf("output %s %s ", name, DTYPES[dtype].name);
  for (uint32_t i = 0; i < (type.rank & 0x7f); i++) printf("%s%d", i ? "x" : "", type.dims[i]);
  printf("%s\n", type.rank & 0x7f ? "" : "scalar");
}

static void print_samples(const char *word, const int64_t *found, long count) {
  for (long i = 0; i < count; i++)
    printf("%s %lld%s", i % 64 ? "" : word, (long long)found[i], i % 64 == 63 || i == count - 1 ? "\n" : "");
}

// Time runs until both least numbers are reached, and print what was measured.
static void measure(Model *model, long base) {
  long count = 0, kept = 0, stride = 1, seen = 0, every = runs / POINTS > 0 ? runs / POINTS : 1;
  int64_t until = now() + (int64_t)(seconds_least * 1e9);
  while (count < runs || now() < until) {
    int64_t taken = timed(model);
    if (count % stride == 0) samples[kept++] = taken;
    if (kept == KEPT) {
      for (kept = 0; kept < KEPT / 2; kept++) samples[kept] = samples[2 * kept];
      stride *= 2;
    }
    count++;
    if (count % every == 0 && count <= runs && seen <= POINTS) points[seen++] = status_bytes("VmRSS:");
  }
  long top = status_bytes("VmHWM:");
  if (top >= 0) printf("peak_bytes %ld\n", top > base ? top - base : 0);
  print_samples("sample_ns", samples, kept);
  printf("resident_bytes");
  for (long i = 0; i < seen; i++) printf(" %ld", points[i]);
  printf("\nstride %ld\n", stride);
}

// Time both models in turns of TURN runs, the order turned round every time, until both least numbers are reached.
static void measure_turns(Model *own, Model *other) {
  int64_t *taken[2] = {samples, samples + KEPT / 2}, until = now() + (int64_t)(seconds_least * 1e9);
  Model *models[2] = {own, other};
  long count = 0;
  for (int first = 0; (count < runs || now() < until) && count < KEPT / 2; first = !first, count += TURN)
    for (int turn = 0; turn < 2; turn++)
      for (int i = 0, side = turn ^ first; i < TURN; i++) taken[side][count + i] = timed(models[side]);
  print_samples("own_ns", taken[0], count);
  print_samples("against_ns", taken[1], count);
}

// Fetch the events of the last run and keep those of operators; returns how many.
static int operators_of(void *profiler, Event **kept) {
  int count, found = 0;
  CALL(LiteRtGetNumProfilerEvents, (void *, int *), profiler, &count);
  Event *events = malloc(sizeof *events * (size_t)(count + 1));
  if (count > 0) CALL(LiteRtGetProfilerEvents, (void *, int, Event *), profiler, count, events);
  for (int i = 0; i < count; i++)
    if (events[i].type & (OPERATOR | DELEGATED)) events[found++] = events[i];
  *kept = events;
  return found;
}

// Profile one run after the other, since the profiler's room is limited, and print backend, number and us of each operator.
static void profile(Model *model) {
  void *profiler = NULL;
  CALL(LiteRtCompiledModelGetProfiler, (void *, void **), model->compiled, &profiler);
  if (!profiler) refuse("this LiteRT makes no profile", "");
  run(model);
  Event *first = NULL;
  uint64_t *taken = NULL;
  int each = 0;
  for (int i = 0; i < profiled; i++) {
    CALL(LiteRtResetProfiler, (void *), profiler);
    CALL(LiteRtStartProfiler, (void *), profiler);
    run(model);
    CALL(LiteRtStopProfiler, (void *), profiler);
    Event *found;
    int count = operators_of(profiler, &found);
    if (!i) {
      first = found, each = count;
      for (int k = 0; k < each; k++) first[k].tag = strdup(first[k].tag);
      taken = malloc(sizeof *taken * (size_t)(each * profiled + 1));
    }
    if (count != each || !each) refuse("the runs did not execute the same operators", "");
    for (int k = 0; k < each; k++) taken[k * profiled + i] = found[k].elapsed_us;
    if (i) free(found);
  }
  printf("runs %d\n", profiled);
  for (int k = 0; k < each; k++) {
    printf("op %s %llu ", first[k].type & DELEGATED ? "XNNPACK" : "LiteRT", (unsigned long long)first[k].metadata[0]);
    for (int i = 0; i < profiled; i++) printf("%s%llu", i ? "," : "", (unsigned long long)taken[k * profiled + i]);
    printf(" %s\n", first[k].tag);
  }
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--warmup")) warmup = atoi(value);
    else if (!strcmp(name, "--runs")) runs = atoi(value);
    else if (!strcmp(name, "--seconds")) seconds_least = atof(value);
    else if (!strcmp(name, "--deadline")) deadline = atof(value);
    else if (!strcmp(name, "--against")) against = value;
    else if (!strcmp(name, "--profile")) profiled = atoi(value);
    else if (!strcmp(name, "--input") && input_count < MOST) {
      Input *tensor = &inputs[input_count++];
      if (sscanf(value, "%15[^:]:%*[^:]:%255s", tensor->dtype, tensor->file) != 2) refuse("cannot read --input ", value);
    } else refuse("does not know ", name);
  }
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  int profiles = 0;
  for (int i = 2; i < count; i += 2) profiles |= !strcmp(words[i], "--profile");
  puts(profiles ? "snugfit-profile 1" : "snugfit-run 1");
  if (count < 2) refuse("no model was named", "");
  parse(count, words);
  alarm((unsigned)deadline + 1);
  library = dlopen("./libLiteRt.so", RTLD_NOW);
  if (!library) refuse("cannot open libLiteRt.so: ", dlerror());
  samples = malloc(sizeof *samples * KEPT);
  memset(samples, 0, sizeof *samples * KEPT);  // resident before the base is read
  void *environment;
  CALL(LiteRtCreateEnvironment, (int, const void *, void **), 0, NULL, &environment);
  puts("runtime LiteRT " LITERT_VERSION " (C API, XNNPACK)");
  static Model model, other;
  if (profiled) {
    load(environment, words[1], &model);
    profile(&model);
    puts("end");
    fflush(stdout);
    _exit(0);
  }
  touch_code();
  long base = status_bytes("VmRSS:");
  printf("base_bytes %ld\n", base);
  reset_peak();
  int64_t start = now();
  load(environment, words[1], &model);
  printf("load_ns %lld\n", (long long)(now() - start));
  printf("first_ns %lld\n", (long long)timed(&model));
  for (int i = 0; i < warmup; i++) run(&model);
  measure(&model, base);
  for (int i = 0; i < model.gives; i++) write_output(model.outputs[i], i);
  if (against) {
    load(environment, against, &other);
    for (int i = 0; i < 1 + warmup; i++) run(&other);
    measure_turns(&model, &other);
  }
  puts("end");
  fflush(stdout);
  _exit(0);  // the runtime's own clean-up is not what is measured
}
