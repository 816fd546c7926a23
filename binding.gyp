# For `node-gyp` in a checkout: see native/addon.gypi. What is published has none of this name.
{
  'variables': {
    'node_addon_api%': "<!(node -p \"require('node-addon-api').include_dir\")",
  },
  'includes': ['native/addon.gypi'],
}
