-- Stands in for Fusion: reads a .setting, prints what each mask tool shows on each frame.
--
-- Only the constructors named here exist, so a name that has become code fails.
-- Usage: lua fusion_stand_in.lua FILE FIRST LAST. Out, tab between fields:
--   tool NAME comment WIDTH HEIGHT     (comment with bytes outside of ASCII as \ddd)
--   frame TOOL FRAME LEVEL CLOSED X Y LX LY RX RY ... (of all points)
local function kind(name)
  return function(content)
    content.kind = name
    return content
  end
end

local world = { ordered = function() return function(content) return content end end }
for _, name in ipairs({ "PolylineMask", "BezierSpline", "Input", "FuID", "Polyline", "OperatorInfo" }) do
  world[name] = kind(name)
end

local file = assert(io.open(arg[1], "rb"))
local text = file:read("a")
file:close()
local setting = assert(load("return " .. text, "setting", "t", world))()
local first, last = tonumber(arg[2]), tonumber(arg[3])

local function source(input)
  assert(input.kind == "Input")
  if input.SourceOp == nil then return nil end
  assert(input.Source == "Value")
  local spline = assert(setting.Tools[input.SourceOp], "no tool " .. input.SourceOp)
  assert(spline.kind == "BezierSpline")
  return spline
end

local function around(spline, frame)
  local before, after
  for at in pairs(spline.KeyFrames) do
    if at <= frame and (before == nil or at > before) then before = at end
    if at >= frame and (after == nil or at < after) then after = at end
  end
  before, after = before or after, after or before
  assert(spline.KeyFrames[before].Flags.Linear and spline.KeyFrames[after].Flags.Linear)
  local share = before == after and 0 or (frame - before) / (after - before)
  return spline.KeyFrames[before], spline.KeyFrames[after], share
end

local function mixed(a, b, share) return a + (b - a) * share end

local function quote(comment)
  return (comment:gsub("[^ -~]", function(c) return string.format("\\%03d", c:byte()) end))
end

for name, tool in pairs(setting.Tools) do
  if tool.kind == "PolylineMask" then
    local inputs = tool.Inputs
    print(table.concat({ "tool", name, quote(inputs.Comments.Value),
      inputs.MaskWidth.Value, inputs.MaskHeight.Value }, "\t"))
    local path, level = source(inputs.Polyline), source(inputs.Level)
    for frame = first, last do
      local said = inputs.Level.Value
      if level then
        local a, b, share = around(level, frame)
        said = mixed(a[1], b[1], share)
      end
      local a, b, share = around(path, frame)
      -- the spline's own value counts the shapes: it has to rise by one from key to key
      assert(a == b or b[1] == a[1] + 1)
      assert(a.Value.Closed == b.Value.Closed and #a.Value.Points == #b.Value.Points)
      local fields = { "frame", name, frame, said, tostring(a.Value.Closed) }
      for i, p in ipairs(a.Value.Points) do
        for _, axis in ipairs({ "X", "Y", "LX", "LY", "RX", "RY" }) do
          fields[#fields + 1] = string.format("%.12f", mixed(p[axis], b.Value.Points[i][axis], share))
        end
      end
      print(table.concat(fields, "\t"))
    end
  end
end
