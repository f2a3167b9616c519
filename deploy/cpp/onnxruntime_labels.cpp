// Labels of an image with ONNX Runtime: onnxruntime_labels MODEL.onnx IMAGE.ppm LABELS.pgm
//
// MODEL is what `openseg export CONFIG CKPT MODEL.onnx` writes: one RGB image (1, H, W, 3) uint8
// in, labels (1, H, W) uint8 out. Normalization, padding, resize and arg-max are inside.
#include <onnxruntime_cxx_api.h>

#include <chrono>
#include <cstdio>

#include "image.hpp"

static int run(const std::string &model, const std::string &image_path, const std::string &out) {
  Image image = read_image(image_path);
  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "openseg");
  Ort::Session session(env, std::basic_string<ORTCHAR_T>(model.begin(), model.end()).c_str(),
                       Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions allocator;
  // which --channels of the export sets
  const Ort::ModelMetadata about = session.GetModelMetadata();
  const Ort::AllocatedStringPtr is_bgr =
      about.LookupCustomMetadataMapAllocated("model_info reverse_input_channels", allocator);
  if (is_bgr && std::strcmp(is_bgr.get(), "True") == 0) swap_channels(image);
  const auto kind = [](const Ort::TypeInfo &info) {
    return info.GetTensorTypeAndShapeInfo().GetElementType();
  };
  if (kind(session.GetInputTypeInfo(0)) != ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 ||
      kind(session.GetOutputTypeInfo(0)) != ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8)
    throw std::runtime_error(model + " takes no uint8 image or gives no uint8 labels: export it "
                                     "with --input uint8-nhwc --output labels");
  const std::int64_t shape[] = {1, static_cast<std::int64_t>(image.height),
                                static_cast<std::int64_t>(image.width), 3};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const Ort::Value input = Ort::Value::CreateTensor<std::uint8_t>(
      memory, image.pixels.data(), image.pixels.size(), shape, 4);
  const char *inputs[] = {"images"};
  const char *outputs[] = {"labels"};
  const auto began = std::chrono::steady_clock::now();
  std::vector<Ort::Value> found =
      session.Run(Ort::RunOptions(), inputs, &input, 1, outputs, 1);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  const std::uint8_t *first = found[0].GetTensorMutableData<std::uint8_t>();
  write_labels(out, {first, first + image.height * image.width}, image.height, image.width);
  std::printf("%s: %zux%zu pixels in %.3f s\n", out.c_str(), image.width, image.height,
              seconds.count());
  return 0;
}

int main(int argc, char **argv) { return main_of(argc, argv, "MODEL.onnx", run); }
