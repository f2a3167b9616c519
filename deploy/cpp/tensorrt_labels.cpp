// Labels of an image with TensorRT: tensorrt_labels MODEL.engine IMAGE.ppm LABELS.pgm
//
// MODEL is what `openseg export CONFIG CKPT MODEL.engine` builds, or the trtexec command that it
// prints: one RGB image (1, H, W, 3) uint8 in, labels (1, H, W) uint8 out. Normalization, padding,
// resize and arg-max are inside. Needs TensorRT 10 or newer, and the GPU that it was built on.
// An engine does not say the order of its channels: leave --channels of the export at rgb.
#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include "image.hpp"

class Logger : public nvinfer1::ILogger {
  void log(Severity severity, const char *text) noexcept override {
    if (severity <= Severity::kWARNING) std::fprintf(stderr, "%s\n", text);
  }
};

static void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

// Memory of the GPU; freed at the end of its block.
struct Buffer {
  explicit Buffer(std::size_t size) { check(cudaMalloc(&place, size)); }
  ~Buffer() { cudaFree(place); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  void *place = nullptr;
};

static std::vector<char> content_of(const std::string &path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error(path + " cannot be opened");
  std::vector<char> content(static_cast<std::size_t>(file.tellg()));
  file.seekg(0);
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  return content;
}

static int run(const std::string &model, const std::string &image_path, const std::string &out) {
  const Image image = read_image(image_path);
  Logger logger;
  const std::vector<char> content = content_of(model);
  std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(logger));
  if (!runtime) throw std::runtime_error("TensorRT does not start: is there a GPU?");
  std::unique_ptr<nvinfer1::ICudaEngine> engine(
      runtime->deserializeCudaEngine(content.data(), content.size()));
  if (!engine) throw std::runtime_error(model + " is no engine of this TensorRT and GPU");
  if (engine->getTensorDataType("images") != nvinfer1::DataType::kUINT8 ||
      engine->getTensorDataType("labels") != nvinfer1::DataType::kUINT8)
    throw std::runtime_error(model + " takes no uint8 image or gives no uint8 labels: export it "
                                     "with --input uint8-nhwc --output labels");
  std::unique_ptr<nvinfer1::IExecutionContext> context(engine->createExecutionContext());
  if (!context) throw std::runtime_error("the GPU has too little memory for " + model);
  const nvinfer1::Dims4 shape(1, static_cast<std::int64_t>(image.height),
                              static_cast<std::int64_t>(image.width), 3);
  if (!context->setInputShape("images", shape))
    throw std::runtime_error(model + " was not built for images of this size");
  std::vector<std::uint8_t> labels(image.height * image.width);
  const Buffer input(image.pixels.size()), output(labels.size());
  context->setTensorAddress("images", input.place);
  context->setTensorAddress("labels", output.place);
  cudaStream_t stream;
  check(cudaStreamCreate(&stream));
  const auto began = std::chrono::steady_clock::now();
  check(cudaMemcpyAsync(input.place, image.pixels.data(), image.pixels.size(),
                        cudaMemcpyHostToDevice, stream));
  if (!context->enqueueV3(stream)) throw std::runtime_error("TensorRT could not run " + model);
  check(cudaMemcpyAsync(labels.data(), output.place, labels.size(), cudaMemcpyDeviceToHost,
                        stream));
  check(cudaStreamSynchronize(stream));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  check(cudaStreamDestroy(stream));
  write_labels(out, labels, image.height, image.width);
  std::printf("%s: %zux%zu pixels in %.3f s\n", out.c_str(), image.width, image.height,
              seconds.count());
  return 0;
}

int main(int argc, char **argv) { return main_of(argc, argv, "MODEL.engine", run); }
