// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <map>

#include "backends/cpu/codegen/codegen.h"
#include "backends/cpu/codegen/object_format.h"
#include "runtime/base/status.h"

// Objects are linked here, not by LLVM's JIT linker: they are one shape that we make ourselves
// (code, read-only data, calls to libm through a table), and so loading a cached artifact costs
// microseconds and no LLVM.
namespace rlx::cpu {
namespace {

using Unary = double (*)(double);
using Binary = double (*)(double, double);

// All that code may call.
struct Symbol {
  std::string_view name;
  const void* address;
};
const void* Address(Unary f) { return reinterpret_cast<const void*>(f); }
const void* Address(Binary f) { return reinterpret_cast<const void*>(f); }

const void* Resolve(std::string_view name) {
  static const Symbol kSymbols[] = {
      {"exp", Address(static_cast<Unary>(std::exp))},
      {"exp2", Address(static_cast<Unary>(std::exp2))},
      {"log", Address(static_cast<Unary>(std::log))},
      {"sin", Address(static_cast<Unary>(std::sin))},
      {"cos", Address(static_cast<Unary>(std::cos))},
      {"tan", Address(static_cast<Unary>(std::tan))},
      {"atan", Address(static_cast<Unary>(std::atan))},
      {"tanh", Address(static_cast<Unary>(std::tanh))},
      {"erf", Address(static_cast<Unary>(std::erf))},
      {"pow", Address(static_cast<Binary>(std::pow))},
  };
  for (const Symbol& symbol : kSymbols) {
    if (symbol.name == name) return symbol.address;
  }
  return nullptr;
}

absl::Status Malformed(std::string_view what) { return DataLoss("kernel object: ", what); }

size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
size_t RoundUp(size_t value, size_t to) { return (value + to - 1) / to * to; }

// Views into the file's bytes, every one checked against their end.
class ElfFile {
 public:
  static absl::StatusOr<ElfFile> Open(std::string_view bytes) {
    ElfFile file(bytes);
    RLX_ASSIGN(file.header_, file.At<Elf64_Ehdr>(0));
    const Elf64_Ehdr& h = file.header_;
    const bool ours = std::memcmp(h.e_ident, ELFMAG, SELFMAG) == 0 &&
                      h.e_ident[EI_CLASS] == ELFCLASS64 && h.e_ident[EI_DATA] == ELFDATA2LSB &&
                      h.e_type == ET_REL && h.e_machine == EM_X86_64 &&
                      h.e_shentsize == sizeof(Elf64_Shdr);
    if (!ours) return Malformed("not a relocatable ELF file for x86-64");
    for (uint64_t i = 0; i < h.e_shnum; ++i) {
      RLX_ASSIGN(const Elf64_Shdr section, file.At<Elf64_Shdr>(h.e_shoff + i * sizeof(Elf64_Shdr)));
      file.sections_.push_back(section);
    }
    return file;
  }

  const std::vector<Elf64_Shdr>& sections() const { return sections_; }

  template <class T>
  absl::StatusOr<T> At(uint64_t offset) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T))
      return Malformed("is cut short");
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  absl::StatusOr<std::string_view> Content(const Elf64_Shdr& section) const {
    if (section.sh_offset > bytes_.size() || section.sh_size > bytes_.size() - section.sh_offset) {
      return Malformed("has a section past its end");
    }
    return bytes_.substr(section.sh_offset, section.sh_size);
  }

  // The T's that a section is a table of.
  template <class T>
  absl::StatusOr<std::vector<T>> Table(const Elf64_Shdr& section) const {
    RLX_ASSIGN(const std::string_view content, Content(section));
    std::vector<T> table(content.size() / sizeof(T));
    if (!table.empty()) std::memcpy(table.data(), content.data(), table.size() * sizeof(T));
    return table;
  }

  absl::StatusOr<std::string_view> Text(uint64_t strings, uint64_t offset) const {
    if (strings >= sections_.size()) return Malformed("names a section that is not there");
    RLX_ASSIGN(const std::string_view content, Content(sections_[strings]));
    const size_t end = offset < content.size() ? content.find('\0', offset) : content.npos;
    if (end == content.npos) return Malformed("has a name without end");
    return content.substr(offset, end - offset);
  }

  absl::StatusOr<std::string_view> NameOf(const Elf64_Shdr& section) const {
    return Text(header_.e_shstrndx, section.sh_name);
  }

 private:
  explicit ElfFile(std::string_view bytes) : bytes_(bytes) {}

  std::string_view bytes_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Shdr> sections_;
};

}  // namespace

// One mapping: code, then from the next page on read-only data and the table of libm's addresses.
struct LoadedObject::Image {
  ~Image() {
    if (memory != nullptr) munmap(memory, size);
  }

  char* memory = nullptr;
  size_t size = 0;
};

namespace {

class Linker {
 public:
  Linker(const ElfFile& file, char*& memory, size_t& size)
      : file_(file), memory_(memory), size_(size) {}

  absl::Status Run(std::map<std::string, KernelFn, std::less<>>& functions) {
    RLX_TRY(CheckTarget());
    RLX_TRY(ReadSymbols());
    RLX_TRY(LayOut());
    RLX_TRY(Map());
    for (const Elf64_Shdr& section : file_.sections()) {
      if (section.sh_type == SHT_REL) return Malformed("has relocations without addends");
      if (section.sh_type == SHT_RELA) RLX_TRY(Relocate(section));
    }
    if (mprotect(memory_, code_size_, PROT_READ | PROT_EXEC) != 0 ||
        mprotect(memory_ + code_size_, size_ - code_size_, PROT_READ) != 0) {
      return ResourceExhausted("cannot make kernel code executable");
    }
    return ListFunctions(functions);
  }

 private:
  absl::Status CheckTarget() const {
    for (const Elf64_Shdr& section : file_.sections()) {
      RLX_ASSIGN(const std::string_view name, file_.NameOf(section));
      if (name != kTargetSection) continue;
      RLX_ASSIGN(const std::string_view features, file_.Content(section));
      CpuTarget target{.name = "this object", .cpu = {}, .features = std::string(features)};
      return CheckHostRuns(target);
    }
    return Malformed("does not say what it needs");
  }

  absl::Status ReadSymbols() {
    for (const Elf64_Shdr& section : file_.sections()) {
      if (section.sh_type != SHT_SYMTAB) continue;
      RLX_ASSIGN(symbols_, file_.Table<Elf64_Sym>(section));
      strings_ = section.sh_link;
      return absl::OkStatus();
    }
    return Malformed("has no symbols");
  }

  absl::Status Place(bool code, size_t& at) {
    for (size_t i = 0; i < file_.sections().size(); ++i) {
      const Elf64_Shdr& section = file_.sections()[i];
      if ((section.sh_flags & SHF_ALLOC) == 0) continue;
      if (((section.sh_flags & SHF_EXECINSTR) != 0) != code) continue;
      if ((section.sh_flags & (SHF_WRITE | SHF_TLS)) != 0 && section.sh_size != 0) {
        return Malformed("has writable data");
      }
      if (section.sh_type != SHT_PROGBITS || section.sh_addralign > PageSize()) {
        return Malformed("has a section of an unknown kind");
      }
      RLX_TRY(file_.Content(section).status());
      at = RoundUp(at, std::max<size_t>(section.sh_addralign, 1));
      offsets_[i] = at;
      at += section.sh_size;
    }
    return absl::OkStatus();
  }

  absl::Status LayOut() {
    offsets_.assign(file_.sections().size(), kNowhere);
    size_t at = 0;
    RLX_TRY(Place(true, at));
    code_size_ = at = RoundUp(at, PageSize());
    RLX_TRY(Place(false, at));
    table_ = RoundUp(at, sizeof(void*));
    size_ = RoundUp(table_ + symbols_.size() * sizeof(void*), PageSize());
    return absl::OkStatus();
  }

  absl::Status Map() {
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return ResourceExhausted("no memory for ", size_, " bytes of kernel code");
    memory_ = static_cast<char*>(memory);
    for (size_t i = 0; i < offsets_.size(); ++i) {
      if (offsets_[i] == kNowhere) continue;
      RLX_ASSIGN(const std::string_view content, file_.Content(file_.sections()[i]));
      if (!content.empty()) std::memcpy(memory_ + offsets_[i], content.data(), content.size());
    }
    return absl::OkStatus();
  }

  // Where a symbol of this object stands in the image.
  absl::StatusOr<uint64_t> OffsetOf(uint64_t symbol) const {
    if (symbol >= symbols_.size()) return Malformed("names a symbol that is not there");
    const Elf64_Sym& s = symbols_[symbol];
    if (s.st_shndx >= offsets_.size() || offsets_[s.st_shndx] == kNowhere ||
        s.st_value > file_.sections()[s.st_shndx].sh_size) {
      return Malformed("has a symbol outside its sections");
    }
    return offsets_[s.st_shndx] + s.st_value;
  }

  // The slot of the address table for a function of libm, filled.
  absl::StatusOr<uint64_t> TableSlot(uint64_t symbol) {
    if (symbol >= symbols_.size()) return Malformed("names a symbol that is not there");
    RLX_ASSIGN(const std::string_view name, file_.Text(strings_, symbols_[symbol].st_name));
    const void* address = Resolve(name);
    if (address == nullptr || symbols_[symbol].st_shndx != SHN_UNDEF) {
      return Malformed(Cat("calls ", name, ", which it may not"));
    }
    const uint64_t slot = table_ + symbol * sizeof(void*);
    std::memcpy(memory_ + slot, &address, sizeof(address));
    return slot;
  }

  absl::Status Relocate(const Elf64_Shdr& section) {
    if (section.sh_info >= offsets_.size())
      return Malformed("relocates a section that is not there");
    const size_t base = offsets_[section.sh_info];
    if (base == kNowhere) return absl::OkStatus();
    const uint64_t size = file_.sections()[section.sh_info].sh_size;
    RLX_ASSIGN(const std::vector<Elf64_Rela> relocations, file_.Table<Elf64_Rela>(section));
    for (const Elf64_Rela& relocation : relocations) {
      const bool wide = ELF64_R_TYPE(relocation.r_info) == R_X86_64_64;
      const uint64_t width = wide ? 8 : 4;
      if (relocation.r_offset > size || size - relocation.r_offset < width) {
        return Malformed("relocates outside a section");
      }
      RLX_TRY(Apply(relocation, base + relocation.r_offset));
    }
    return absl::OkStatus();
  }

  absl::Status Apply(const Elf64_Rela& relocation, uint64_t place) {
    const uint64_t symbol = ELF64_R_SYM(relocation.r_info);
    uint64_t target = 0;
    switch (ELF64_R_TYPE(relocation.r_info)) {
      case R_X86_64_PC32:
      case R_X86_64_PLT32: {
        RLX_ASSIGN(target, OffsetOf(symbol));
        break;
      }
      case R_X86_64_GOTPCREL:
      case R_X86_64_GOTPCRELX:
      case R_X86_64_REX_GOTPCRELX: {
        RLX_ASSIGN(target, TableSlot(symbol));
        break;
      }
      case R_X86_64_64: {
        RLX_ASSIGN(target, OffsetOf(symbol));
        const uint64_t address = reinterpret_cast<uint64_t>(memory_) + target +
                                 static_cast<uint64_t>(relocation.r_addend);
        std::memcpy(memory_ + place, &address, sizeof(address));
        return absl::OkStatus();
      }
      default:
        return Malformed(Cat("has a relocation of kind ", ELF64_R_TYPE(relocation.r_info)));
    }
    const auto distance = static_cast<int64_t>(target - place) + relocation.r_addend;
    const auto narrow = static_cast<int32_t>(distance);
    if (narrow != distance) return Malformed("is too large");
    std::memcpy(memory_ + place, &narrow, sizeof(narrow));
    return absl::OkStatus();
  }

  absl::Status ListFunctions(std::map<std::string, KernelFn, std::less<>>& functions) const {
    for (size_t i = 0; i < symbols_.size(); ++i) {
      const Elf64_Sym& symbol = symbols_[i];
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || ELF64_ST_BIND(symbol.st_info) != STB_GLOBAL)
        continue;
      RLX_ASSIGN(const std::string_view name, file_.Text(strings_, symbol.st_name));
      RLX_ASSIGN(const uint64_t offset, OffsetOf(i));
      if (offset >= code_size_) return Malformed("has a function outside its code");
      functions.emplace(name, reinterpret_cast<KernelFn>(memory_ + offset));
    }
    return absl::OkStatus();
  }

  static constexpr size_t kNowhere = SIZE_MAX;

  const ElfFile& file_;
  char*& memory_;
  size_t& size_;
  size_t code_size_ = 0;
  size_t table_ = 0;  // offset of the address table, a slot per symbol
  std::vector<Elf64_Sym> symbols_;
  uint64_t strings_ = 0;         // section of the symbols' names
  std::vector<size_t> offsets_;  // by section: in the image
};

}  // namespace

size_t ObjectSize(std::string_view bytes) {
  Elf64_Ehdr header;
  if (bytes.size() < sizeof(header)) return 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const size_t table = size_t{header.e_shnum} * header.e_shentsize;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_shoff < sizeof(header) ||
      header.e_shoff > bytes.size() || bytes.size() - header.e_shoff < table) {
    return 0;
  }
  return header.e_shoff + table;
}

absl::StatusOr<std::unique_ptr<LoadedObject>> LoadedObject::Load(std::string_view object) {
  std::unique_ptr<LoadedObject> loaded(new LoadedObject);
  do {
    const size_t size = ObjectSize(object);
    if (size == 0) return Malformed("is no ELF file, or is cut short");
    RLX_ASSIGN(const ElfFile file, ElfFile::Open(object.substr(0, size)));
    Image& image = *loaded->images_.emplace_back(std::make_unique<Image>());
    RLX_TRY(Linker(file, image.memory, image.size).Run(loaded->functions_));
    object.remove_prefix(size);
  } while (!object.empty());
  return loaded;
}

LoadedObject::LoadedObject() = default;
LoadedObject::~LoadedObject() = default;

KernelFn LoadedObject::Find(std::string_view name) const {
  const auto found = functions_.find(name);
  return found == functions_.end() ? nullptr : found->second;
}

size_t LoadedObject::bytes() const {
  size_t total = 0;
  for (const auto& image : images_) total += image->size;
  return total;
}

}  // namespace rlx::cpu
