-- Writes one line about a block: when, from which address and port, the score, and each rule with the name of what it
-- hit. Never a value. A name is what the client chose, so only a plain and short one is written.

local FILE = "@LOG_FOLDER@/blocks.log"
local NAME_BYTES_MAX = 48

local function shown(name)
  if #name > NAME_BYTES_MAX or name:find("[^%w_.:-]") or name:find("[lm][ep]_%w%w%w%w%w%w%w%w") then return "(not shown)" end
  return name
end

function main()
  local file = io.open(FILE, "a")
  -- Without a place to write the block is a block all the same.
  if file == nil then return nil end
  local hits = {}
  for rule, name in (m.getvar("TX.waf_rules") or ""):gmatch("TX:waf_hit_(%d+):(%S*)") do
    hits[#hits + 1] = rule .. " " .. shown(name)
  end
  table.sort(hits)
  file:write(os.date("!%Y-%m-%dT%H:%M:%SZ"), "\t", m.getvar("REMOTE_ADDR"), "\t", m.getvar("REMOTE_PORT"), "\tscore ",
    m.getvar("TX.anomaly_score"), "\t", table.concat(hits, ", "), "\n")
  file:close()
  return "written"
end
